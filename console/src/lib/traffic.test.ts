import { expect, test } from "vitest";
import {
  chartsOf,
  csvOf,
  hasTraffic,
  intervalOf,
  parseTrafficSearch,
  scaleChangesOf,
  summaryOf,
  timesOf,
} from "@/lib/traffic";

const ID = "01890000-0000-7000-8000-00000000abcd";
const series = (name: string, values: (number | null)[], more: object = {}) => ({ name, unit: "1/s", values, ...more });
const history = (...all: ReturnType<typeof series>[]) => ({
  since: "2026-11-30T12:00:00Z",
  step_s: 10,
  by: "service" as const,
  series: all,
});

test("an address says a range or two times, and nothing else", () => {
  expect(parseTrafficSearch({ range: "6h", by: "revision", x: 1 })).toEqual({ range: "6h", by: "revision" });
  expect(parseTrafficSearch({ range: "1y", by: "moon" })).toEqual({});
  const chosen = { from: "2026-11-30T12:00:00.000Z", to: "2026-11-30T12:05:00.000Z" };
  expect(parseTrafficSearch({ ...chosen, range: "6h" })).toEqual(chosen);
  expect(parseTrafficSearch({ from: chosen.to, to: chosen.from })).toEqual({});
  expect(intervalOf({})).toEqual({ range: "1h" });
  expect(intervalOf(chosen)).toEqual(chosen);
});

test("charts have the lines of which something is known, and those of requests always", () => {
  const found = chartsOf(
    history(
      series("succeeded_per_second", [0, null]),
      series("left_per_second", [0, 0]),
      series("interrupted_per_second", [0, 0.1]),
      series("gpu_percent", [null, null]),
      series("cpu_cores", [null, 0.5]),
      series("refused_per_second", [1, 1]),
      series("refused_per_second", [1, 1], { reason: "queue-full" }),
    ),
  );
  expect(found.map((chart) => [chart.id, chart.lines.map((line) => line.whose ?? line.name)])).toEqual([
    ["requests", ["succeeded_per_second", "interrupted_per_second"]],
    ["refused", ["queue-full"]],
    ["cpu", ["cpu_cores"]],
  ]);
});

test("revisions are lines of one chart by their number, replicas by the end of their id", () => {
  const by = { id: ID, label: "3" };
  const all = [series("requests_per_second", [1], by), series("latency_p95_s", [1], by)];
  const revision = chartsOf({ ...history(...all), by: "revision" as const });
  expect(revision.map((chart) => [chart.id, chart.lines[0]?.whose])).toEqual([
    ["requests", "3"],
    ["latency", "3"],
  ]);
  expect(chartsOf({ ...history(...all), by: "replica" as const })[0]?.lines[0]?.whose).toBe("0000abcd");
});

test("a summary leaves out what is not known", () => {
  const line = { key: "a", name: "a", whose: null, values: [1, null, 3, null] };
  expect(summaryOf(line)).toEqual({ last: 3, mean: 2, most: 3 });
  expect(summaryOf({ ...line, values: [null] })).toBeNull();
});

test("a change of the number of replicas is marked, its first sight is not", () => {
  const found = history(series("replicas_wanted", [null, 1, 1, 3, null, 2]));
  expect(scaleChangesOf(found, timesOf(found))).toEqual([{ at: Date.UTC(2026, 10, 30, 12, 0, 30) / 1000, wanted: 3 }]);
});

test("idle is no traffic, and neither is what is not known", () => {
  expect(hasTraffic(history(series("requests_per_second", [0, null])))).toBe(false);
  expect(hasTraffic(history(series("refused_per_second", [0, 0.1])))).toBe(true);
});

test("as CSV a gap is an empty cell", () => {
  const line = { key: "a", name: "a", whose: null, values: [0, null] };
  expect(csvOf([0, 10], [line], ['a "b", c'])).toBe(
    'time,"a ""b"", c"\r\n1970-01-01T00:00:00.000Z,0\r\n1970-01-01T00:00:10.000Z,',
  );
});
