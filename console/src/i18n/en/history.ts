/** English texts of the page: history. */

export const history = {
  title: "Revisions",
  changes: "Changes",
  when: "When",
  who: "Who",
  what: "What",
  message: "Message",
  rollBack: "Roll back to this",
  running: "running",
  empty: "Nothing has changed yet.",
};
