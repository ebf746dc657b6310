/** A chart over time: lines with gaps, a cursor that all charts of a page share, marks, and a range by dragging. */

import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { coloursOf, LINE_COLOURS, type Palette } from "@/charts/colours";
import styles from "./chart.module.css";

export type Mark = { at: number; text: string };
type Props = {
  label: string;
  times: readonly number[];
  lines: readonly { key: string; label: string; values: readonly (number | null)[] }[];
  marks: readonly Mark[];
  format: (value: number) => string;
  time: (seconds: number) => string;
  when: string;
  language: string;
  utc: boolean;
  onRange: (from: number, to: number) => void;
};

const HEIGHT = 180;
const LEAST_DRAG_PX = 8;
const AXIS_PX = 64;
const TIMES_PX = 30;
const DAY_S = 86_400;

export function Chart(props: Props) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const now = useRef(props);
  now.current = props;
  const { lines, times, language, utc } = props;
  const shape = [...lines.map((line) => line.key + line.label), language, utc].join("\n");

  // biome-ignore lint/correctness/useExhaustiveDependencies: a chart of other lines is another one
  useEffect(() => {
    const box = place.current;
    if (!box) return;
    const make = () => {
      chart.current?.destroy();
      chart.current = new uPlot(optionsOf(now, box.clientWidth, coloursOf(box)), dataOf(now.current), box);
    };
    make();
    const sized = new ResizeObserver(() => chart.current?.setSize({ width: box.clientWidth, height: HEIGHT }));
    sized.observe(box);
    const themed = new MutationObserver(make);
    themed.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", make);
    return () => {
      sized.disconnect();
      themed.disconnect();
      dark.removeEventListener("change", make);
      chart.current?.destroy();
      chart.current = null;
    };
  }, [shape]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: new values are drawn into the chart that is there
  useEffect(() => {
    chart.current?.setData(dataOf(now.current));
  }, [times, lines]);

  return <div ref={place} className={styles.chart} role="img" aria-label={props.label} />;
}

function dataOf({ times, lines }: Props): uPlot.AlignedData {
  return [[...times], ...lines.map((line) => [...line.values])];
}

function optionsOf(now: { current: Props }, width: number, colours: Palette): uPlot.Options {
  const { lines, language, utc } = now.current;
  const axis = { stroke: colours.quiet, grid: { stroke: colours.line, width: 1 }, ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    padding: [8, 8, 0, 0],
    ...(utc ? { tzDate: (seconds: number) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC") } : {}),
    cursor: { sync: { key: "traffic" }, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
    legend: { live: true },
    scales: { y: { range: (_, least, most) => [Math.min(0, least ?? 0), most > 0 ? most * 1.08 : 1] } },
    axes: [
      { ...axis, size: TIMES_PX, values: (_, splits) => splits.map((at) => clock(at, splits, language, utc)) },
      { ...axis, size: AXIS_PX, values: (_, splits) => splits.map((value) => now.current.format(value)) },
    ],
    series: [
      { label: now.current.when, value: (_, at) => (at === null ? "" : now.current.time(at)) },
      ...lines.map((line, at) => ({
        label: line.label,
        stroke: colours.lines[at % LINE_COLOURS] ?? colours.quiet,
        width: 1.5,
        ...(at >= LINE_COLOURS ? { dash: [6, 4] } : {}),
        points: { show: false },
        value: (_: uPlot, value: number | null) => (value === null ? "–" : now.current.format(value)),
      })),
    ],
    hooks: {
      draw: [(plot) => drawMarks(plot, now.current.marks, colours.text)],
      setSelect: [
        (plot) => {
          const { left, width: wide } = plot.select;
          if (wide < LEAST_DRAG_PX) return;
          plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
          now.current.onRange(plot.posToVal(left, "x"), plot.posToVal(left + wide, "x"));
        },
      ],
    },
  };
}

function clock(seconds: number, splits: readonly number[], language: string, utc: boolean): string {
  const span = (splits.at(-1) ?? 0) - (splits[0] ?? 0);
  if (span > DAY_S)
    return new Date(seconds * 1000).toLocaleDateString(language, {
      month: "short",
      day: "numeric",
      ...(utc ? { timeZone: "UTC" } : {}),
    });
  const minute: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const second: Intl.DateTimeFormatOptions = span < 120 ? { second: "2-digit" } : {};
  return new Date(seconds * 1000).toLocaleTimeString(language, {
    ...minute,
    ...second,
    ...(utc ? { timeZone: "UTC" } : {}),
  });
}

function drawMarks(plot: uPlot, marks: readonly Mark[], colour: string): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = colour;
  ctx.globalAlpha = 0.55;
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
  for (const mark of marks) {
    const x = plot.valToPos(mark.at, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}
