/** English texts of the page: services. */

import { n, one } from "@/i18n/en/numbers";

export const services = {
  title: "Services",
  new: "New service",
  count: (count: number) => one(count, "service", "services"),
  name: "Name",
  status: "Status",
  replicas: "Replicas",
  runtime: "Runtime",
  revision: "Revision",
  slots: "Slots",
  requests: "Req/s",
  latency: "p95",
  errors: "5xx",
  updated: "Updated",
  owner: "Owner",
  mine: "Mine",
  sort: "Sort",
  sorts: {
    created: "Oldest first",
    "-created": "Newest first",
    name: "Name",
    "-updated": "Last changed",
    "-replicas": "Most replicas",
  },
  searchHelp: "Name, description, model or tag",
  empty: "No service runs here yet.",
  emptyHelp: "A service runs a model of a folder on your machines and gives it one permanent address.",
  filtered: "No service matches these filters.",
  ready: (healthy: number, wanted: number) => `${n.format(healthy)} of ${one(wanted, "replica", "replicas")} healthy`,
};
