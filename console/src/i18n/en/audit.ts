/** English texts of the page: audit. */

export const audit = {
  title: "Audit",
  csv: "Download CSV",
  at: "When",
  actor: "Who",
  action: "What",
  on: "On",
  message: "Why",
  from: "From",
  key: "By the key",
  filters: { actor: "User", action: "Action, service.*", service: "Service", agent: "Machine" },
  range: "Since",
  ranges: { "1h": "Last hour", "24h": "Last day", "7d": "Last 7 days", "30d": "Last 30 days", all: "Any time" },
  empty: "No change matches.",
  owners: "The audit log of a project is for its owners.",
  ownersHelp: "Choose a project that you own, or ask an operator.",
  fields: "Changed fields",
  before: "Before",
  after: "After",
  noFields: "No state is recorded of this.",
  details: "Details",
};
