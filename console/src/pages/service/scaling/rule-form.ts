/** Fields of the form for a rule, and the rule that they make. What is no number is sent as it is: the API judges it. */

import type { RuleSpec } from "@/api/scaling";

export type RuleForm = Record<
  "metric" | "source" | "comparator" | "threshold" | "step" | "min" | "max" | "cooldown",
  string
>;

export const SIGNS: Record<RuleSpec["comparator"], string> = {
  GREATER_THAN: ">",
  GREATER_THAN_OR_EQUAL: "≥",
  LESS_THAN: "<",
  LESS_THAN_OR_EQUAL: "≤",
};

/** Metrics that every service has, by where they come from. An engine has others beside them. */
export const METRICS: Record<RuleSpec["source"], readonly string[]> = {
  kernel: ["cpu_util", "mem_util", "cuda_util", "cuda_mem_util", "net_rx", "net_tx"],
  "inference-framework": [
    "headrace_in_flight",
    "headrace_requests_per_second",
    "headrace_queued",
    "headrace_queue_seconds",
    "headrace_refused_per_second",
  ],
};

export const NEW_RULE: RuleForm = {
  metric: "headrace_in_flight",
  source: "inference-framework",
  comparator: "GREATER_THAN",
  threshold: "",
  step: "1",
  min: "1",
  max: "",
  cooldown: "300",
};

export function formOf(spec: RuleSpec): RuleForm {
  return {
    metric: spec.metric,
    source: spec.source,
    comparator: spec.comparator,
    threshold: String(spec.threshold),
    step: String(spec.step),
    min: String(spec.min_replicas),
    max: String(spec.max_replicas),
    cooldown: String(spec.cooldown_s),
  };
}

/** An empty minimum or rest has its value of a new rule. */
export function specOf(form: RuleForm): RuleSpec {
  const number = (text: string) => (text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text)) as number;
  return {
    metric: form.metric.trim(),
    source: form.source as RuleSpec["source"],
    comparator: form.comparator as RuleSpec["comparator"],
    threshold: number(form.threshold),
    step: number(form.step),
    max_replicas: number(form.max),
    min_replicas: form.min.trim() === "" ? 1 : number(form.min),
    cooldown_s: form.cooldown.trim() === "" ? 300 : number(form.cooldown),
    enabled: true,
  };
}

/** Places of a value and of the threshold on a line, in percent. */
export function gauge(observed: number, threshold: number): { value: number; threshold: number } {
  const low = Math.min(0, observed, threshold * 2);
  const high = Math.max(0, observed * 1.1, threshold * 2) || 1;
  const place = (value: number) => Math.round((100 * (value - low)) / (high - low));
  return { value: place(observed), threshold: place(threshold) };
}

/** Four digits that count. */
export function rounded(value: number): string {
  return String(Number(value.toPrecision(4)));
}
