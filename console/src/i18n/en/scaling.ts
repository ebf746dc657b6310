/** English texts of the page: scaling of a service. */

type Sentence = Record<"metric" | "condition" | "step" | "bounds" | "rest", string>;

export const scaling = {
  rules: "Rules",
  new: "New rule",
  create: "Create rule",
  edit: "Edit",
  editTitle: "Edit the rule",
  enabled: "On",
  off: "Switched off.",
  notYet: "Not evaluated yet.",
  deleteTitle: "Delete this rule?",
  deleteVerb: "Delete rule",
  empty: "No rule changes the number of replicas.",
  emptyHelp: "A rule adds or takes away replicas when a metric passes a threshold, within bounds.",
  sentence: ({ metric, condition, step, bounds, rest }: Sentence) =>
    `When ${metric} is ${condition}: ${step} within ${bounds} replicas, then ${rest} of rest`,
  last: (value: string, threshold: string) => `${value}, threshold ${threshold}`,
  resting: (left: string) => `Rests for another ${left}.`,
  decisions: "Changes of the number of replicas",
  noDecisions: "The number of replicas has not been changed yet.",
  by: "By",
  sources: { rule: "a rule", user: "a user" },
  observed: "Observed",
  fields: {
    source: "Where the metric comes from",
    sources: { "inference-framework": "Engine or app-proxy", kernel: "Machine (mean over kernels)" },
    metric: "Metric",
    metricHelp: "Any that the engine exposes, too: vllm:num_requests_waiting; a counter with :rate.",
    comparator: "Comparison",
    threshold: "Threshold",
    step: "Step",
    stepHelp: "Replicas to add, or with a minus to take away.",
    cooldown: "Rest (s)",
    min: "Fewest replicas",
    max: "Most replicas",
  },
};
