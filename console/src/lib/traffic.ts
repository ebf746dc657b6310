/** What the charts of a service's traffic show: ranges, lines, summaries, CSV. Pure. */

export const RANGES = {
  "5m": { seconds: 300, everyMs: 10_000 },
  "1h": { seconds: 3600, everyMs: 30_000 },
  "6h": { seconds: 6 * 3600, everyMs: 60_000 },
  "24h": { seconds: 86_400, everyMs: 60_000 },
  "7d": { seconds: 7 * 86_400, everyMs: 300_000 },
} as const;
export type Range = keyof typeof RANGES;
export type Interval = { range: Range } | { from: string; to: string };
export const BYS = ["service", "revision", "replica"] as const;
export type By = (typeof BYS)[number];
export type TrafficSearch = { range?: Range; from?: string; to?: string; by?: By };
export const DEFAULT_RANGE: Range = "1h";

type Series = {
  name: string;
  unit: string;
  id?: string | null;
  label?: string | null;
  reason?: string | null;
  values: readonly (number | null)[];
};
type History = { since: string; step_s: number; by: By; series: readonly Series[] };
export type Value = "rate" | "share" | "time" | "count" | "bytes" | "percent";
export type Line = { key: string; name: string; whose: string | null; values: readonly (number | null)[] };
export type ChartData = { id: ChartId; value: Value; lines: readonly Line[] };

type Chart = { id: string; value: Value; service: readonly string[]; group?: string };
const CHARTS = [
  {
    id: "requests",
    value: "rate",
    service: [
      "succeeded_per_second",
      "client_errors_per_second",
      "server_errors_per_second",
      "interrupted_per_second",
      "left_per_second",
    ],
    group: "requests_per_second",
  },
  { id: "success", value: "share", service: ["success_ratio"], group: "success_ratio" },
  {
    id: "latency",
    value: "time",
    service: ["latency_p50_s", "latency_p75_s", "latency_p90_s", "latency_p95_s", "latency_p99_s"],
    group: "latency_p95_s",
  },
  {
    id: "firstByte",
    value: "time",
    service: ["first_byte_p50_s", "first_byte_p95_s", "first_byte_p99_s"],
    group: "first_byte_p95_s",
  },
  {
    id: "tokens",
    value: "rate",
    service: ["prompt_tokens_per_second", "completion_tokens_per_second"],
    group: "completion_tokens_per_second",
  },
  { id: "inFlight", value: "count", service: ["in_flight", "queued"], group: "in_flight" },
  { id: "refused", value: "rate", service: ["refused_per_second"] },
  { id: "replicas", value: "count", service: ["replicas_wanted", "replicas_healthy"] },
  { id: "cpu", value: "count", service: ["cpu_cores"], group: "cpu_cores" },
  { id: "memory", value: "bytes", service: ["memory_bytes"], group: "memory_bytes" },
  { id: "gpu", value: "percent", service: ["gpu_percent", "gpu_memory_percent"], group: "gpu_percent" },
] as const satisfies readonly Chart[];
export type ChartId = (typeof CHARTS)[number]["id"];
const ALWAYS: ReadonlySet<string> = new Set(["requests", "latency", "inFlight", "replicas"]);
const DATE = /^\d{4}-\d\d-\d\dT[\d:.]{5,12}Z$/;
const REPLICA_SHOWN = 8;

/** Return what an address chooses; what it may not say is left out. */
export function parseTrafficSearch(search: Record<string, unknown>): TrafficSearch {
  const by = BYS.find((one) => one === search.by);
  const { range, from, to } = search;
  const chosen =
    typeof from === "string" && typeof to === "string" && DATE.test(from) && DATE.test(to) && from < to
      ? { from, to }
      : typeof range === "string" && range in RANGES
        ? { range: range as Range }
        : {};
  return { ...chosen, ...(by && by !== "service" ? { by } : {}) };
}

/** Return the interval that is chosen. */
export function intervalOf({ range, from, to }: TrafficSearch): Interval {
  return from && to ? { from, to } : { range: range ?? DEFAULT_RANGE };
}

/** Return the charts of which something is known, in order. */
export function chartsOf(history: History): ChartData[] {
  return CHARTS.map((chart: Chart) => {
    const names = history.by === "service" ? chart.service : chart.group ? [chart.group] : [];
    const lines = names.flatMap((name) =>
      history.series.filter((one) => one.name === name).map((one) => lineOf(one, history.by)),
    );
    return { id: chart.id as ChartId, value: chart.value, lines: withoutIdle(chart.id, lines) };
  }).filter((chart) => chart.lines.length > 0 && (ALWAYS.has(chart.id) || chart.lines.some(known)));
}

/** Return whether any request is in the history. */
export function hasTraffic(history: History): boolean {
  return history.series.some(
    (one) =>
      (one.name === "requests_per_second" || one.name === "refused_per_second" || one.name === "in_flight") &&
      one.values.some((value) => value !== null && value > 0),
  );
}

/** Return the beginning of each step, in seconds since 1970. */
export function timesOf(history: Pick<History, "since" | "step_s"> & { series: readonly Series[] }): number[] {
  const begin = Date.parse(history.since) / 1000;
  return Array.from({ length: history.series[0]?.values.length ?? 0 }, (_, step) => begin + step * history.step_s);
}

/** Return the last, mean and highest value of a line; null where nothing is known. */
export function summaryOf(line: Line): { last: number; mean: number; most: number } | null {
  const values = line.values.filter((value) => value !== null);
  const last = values.at(-1);
  if (last === undefined) return null;
  return { last, mean: values.reduce((sum, value) => sum + value, 0) / values.length, most: Math.max(...values) };
}

/** Return times at which the number of wanted replicas changed, with that number. */
export function scaleChangesOf(history: History, times: readonly number[]): { at: number; wanted: number }[] {
  const wanted = history.series.find((one) => one.name === "replicas_wanted")?.values ?? [];
  return wanted.flatMap((value, step) => {
    const before = wanted[step - 1];
    const at = times[step];
    return value !== null && at !== undefined && typeof before === "number" && before !== value
      ? [{ at, wanted: value }]
      : [];
  });
}

/** Return a chart as CSV (RFC 4180); a cell is empty where nothing is known. */
export function csvOf(times: readonly number[], lines: readonly Line[], names: readonly string[]): string {
  const rows = times.map((at, step) => [
    new Date(at * 1000).toISOString(),
    ...lines.map((line) => String(line.values[step] ?? "")),
  ]);
  return [["time", ...names], ...rows].map((row) => row.map(quoted).join(",")).join("\r\n");
}

function lineOf(one: Series, by: By): Line {
  const id = one.id ?? null;
  const group = by === "replica" && id ? id.slice(-REPLICA_SHOWN) : (one.label ?? id?.slice(-REPLICA_SHOWN) ?? null);
  return {
    key: [one.name, id, one.reason].filter(Boolean).join(" "),
    name: one.name,
    whose: one.reason ?? group,
    values: one.values,
  };
}

/** Leave out lines of requests that were rare and did not come, and the sum of one reason. */
function withoutIdle(chart: string, lines: readonly Line[]): readonly Line[] {
  const rare = new Set(["interrupted_per_second", "left_per_second"]);
  const busy = lines.filter((line) => !rare.has(line.name) || line.values.some((value) => value !== null && value > 0));
  if (chart !== "refused") return busy;
  return lines.some((line) => line.whose) ? lines.filter((line) => line.whose) : [];
}

function known(line: Line): boolean {
  return line.values.some((value) => value !== null);
}

function quoted(cell: string): string {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}
