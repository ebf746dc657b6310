/** English texts of what a change comes to. */

import { n, one } from "@/i18n/en/numbers";

export const resolution = {
  before: "Before",
  after: "After",
  nothing: "Nothing changes.",
  live: "Takes effect at once, without a restart:",
  rollout: (revision: number) => `Rolls out revision ${revision}, without downtime:`,
  fits: (placed: number, replicas: number) =>
    `${n.format(placed)} of ${one(replicas, "new replica", "new replicas")} would find a machine now`,
};
