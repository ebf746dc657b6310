/** English texts of the page: machines. */

import { one } from "@/i18n/en/numbers";

export const machines = {
  title: "Machines",
  count: (count: number) => one(count, "machine", "machines"),
  name: "Name",
  status: "Status",
  group: "Group",
  used: "Used",
  runtime: "Runtime",
  heard: "Last heard",
  states: { alive: "In use", draining: "Draining", cordoned: "Takes nothing new", lost: "Lost" },
  empty: "No machine has joined.",
  emptyHelp: "Make a join token, and run the line that it prints on the machine.",
};
