/** A chart with its name, the same as a table and as CSV, and its summary for who does not see it. */

import { useState, useSyncExternalStore } from "react";
import { Chart, type Mark } from "@/charts/chart";
import { type Messages, useLanguage, useT } from "@/i18n";
import { dateTime } from "@/i18n/format";
import { onPreferences, preferences } from "@/lib/preferences";
import { type By, type ChartData, csvOf, type Line, summaryOf } from "@/lib/traffic";
import { valueFormat } from "@/pages/service/values";
import { Button } from "@/ui/button";
import { Card, Empty } from "@/ui/card";
import { type Column, Table } from "@/ui/table";
import styles from "./traffic.module.css";

const MOST_ROWS = 500;

type Props = {
  service: string;
  by: By;
  chart: ChartData;
  times: readonly number[];
  marks: readonly Mark[];
  onRange: (from: number, to: number) => void;
};

export function ChartCard({ service, by, chart, times, marks, onRange }: Props) {
  const t = useT();
  const language = useLanguage();
  const { zone } = useSyncExternalStore(onPreferences, preferences);
  const [table, setTable] = useState(false);
  const format = valueFormat(chart.value, language);
  const time = (seconds: number) => dateTime(new Date(seconds * 1000), language, zone);
  const title = t.traffic.charts[chart.id];
  const lines = chart.lines.map((line) => ({ ...line, label: labelOf(line, by, t) }));
  const csv = () => csvOf(times, chart.lines, chart.lines.map(nameInCsv));
  return (
    <Card
      title={title}
      flush={table}
      actions={
        <span className={styles.actions}>
          <Button small kind="quiet" onPress={() => setTable(!table)}>
            {table ? t.traffic.chart : t.traffic.table}
          </Button>
          <Button small kind="quiet" onPress={() => save(`${service}-${chart.id}.csv`, csv())}>
            CSV
          </Button>
        </span>
      }
    >
      {table ? (
        <ChartTable label={title} times={times} lines={lines} format={format} time={time} />
      ) : (
        <Chart
          label={`${title}. ${lines.map((line) => summary(line, format, t)).join(" ")}`}
          times={times}
          lines={lines}
          marks={marks}
          format={format}
          time={time}
          when={t.history.when}
          language={language}
          utc={zone === "utc"}
          onRange={onRange}
        />
      )}
    </Card>
  );
}

type Labelled = Line & { label: string };
type TableProps = {
  label: string;
  times: readonly number[];
  lines: readonly Labelled[];
  format: (value: number) => string;
  time: (seconds: number) => string;
};

/** The newest steps of which something is known, the newest first. */
function ChartTable({ label, times, lines, format, time }: TableProps) {
  const t = useT();
  const rows = times
    .map((at, step) => ({ at, step }))
    .filter(({ step }) => lines.some((line) => line.values[step] !== null))
    .slice(-MOST_ROWS)
    .reverse();
  if (rows.length === 0) return <Empty title={t.traffic.nothing} />;
  const columns: readonly Column<(typeof rows)[number]>[] = [
    { id: "time", title: t.history.when, cell: (row) => time(row.at) },
    ...lines.map((line) => ({
      id: line.key,
      title: line.label,
      kind: "number" as const,
      cell: ({ step }: { step: number }) => {
        const value = line.values[step] ?? null;
        return value === null ? t.common.none : format(value);
      },
    })),
  ];
  return (
    <section className={styles.table} aria-label={label}>
      <Table label={label} columns={columns} rows={rows} rowKey={(row) => String(row.at)} />
    </section>
  );
}

/** Name of a line; of a revision or replica only that, but for the quantile. */
function labelOf(line: Line, by: By, t: Messages): string {
  const series = t.traffic.series[line.name as keyof Messages["traffic"]["series"]] ?? line.name;
  if (line.whose === null) return series;
  if (by === "service") return line.whose;
  const whose = by === "revision" ? t.service.rollout.from(Number(line.whose)) : line.whose;
  return line.name.endsWith("_s") ? `${series} · ${whose}` : whose;
}

function nameInCsv(line: Line): string {
  return line.whose ? `${line.name}[${line.whose}]` : line.name;
}

function summary(line: Labelled, format: (value: number) => string, t: Messages): string {
  const found = summaryOf(line);
  if (!found) return t.traffic.summaryNothing(line.label);
  return t.traffic.summary(line.label, format(found.last), format(found.mean), format(found.most));
}

/** Give a text to the browser as a file. */
function save(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
