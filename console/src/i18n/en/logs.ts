/** English texts of the page: logs. */

import { one } from "@/i18n/en/numbers";

export const logs = {
  replica: "Replica",
  allReplicas: "All replicas",
  follow: "Follow",
  paused: "Paused",
  wrap: "Wrap",
  filter: "Filter",
  download: "Download",
  empty: "No line yet.",
  lines: (count: number) => one(count, "line", "lines"),
  missing: "Lines are missing here",
  waiting: "Waiting for lines…",
};
