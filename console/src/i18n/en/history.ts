/** English texts of the page: history. */

export const history = {
  title: "Revisions",
  changes: "Changes",
  when: "When",
  who: "Who",
  what: "What",
  message: "Message",
  rollBack: "Roll back to this",
  rollBackTitle: (name: string, revision: number) => `${name}: roll back to revision ${revision}?`,
  rollBackText: (revision: number) =>
    `Revision ${revision} is rolled out again without downtime, as a new one. Of the effective values these change:`,
  rollBackVerb: (revision: number) => `Roll back to revision ${revision}`,
  compare: "Compare",
  compareTitle: (from: number, to: number) => `Revision ${from} compared with ${to}`,
  from: "Revision",
  to: "Compared with",
  same: "Both have the same effective values.",
  receipt: {
    title: (revision: number) => `Receipt of the rollout of revision ${revision}`,
    none: (revision: number) => `The rollout of revision ${revision} replaced no replica.`,
    replicas: "Replicas replaced",
    started: "Requests open then",
    finished: "Finished",
    retried: "Moved to another replica",
    failed: "Failed",
    cut: "Cut at the end of the grace",
    slowest: "Slowest",
    incomplete: (draining: number, proxies: string) =>
      `Not complete: ${draining} still draining${proxies ? `, not yet heard of ${proxies}` : ""}.`,
  },
  running: "running",
  empty: "Nothing has changed yet.",
};
