/** Traffic of a service: charts of the last days, by service, revision or replica. */

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { revisionsQuery } from "@/api/history";
import { type MetricHistory, metricHistoryQuery } from "@/api/metrics";
import { type ServiceDetail, serviceQuery } from "@/api/services";
import type { Mark } from "@/charts/chart";
import { useT } from "@/i18n";
import {
  BYS,
  chartsOf,
  DEFAULT_RANGE,
  hasTraffic,
  intervalOf,
  RANGES,
  type Range,
  scaleChangesOf,
  type TrafficSearch,
  timesOf,
} from "@/lib/traffic";
import { ChartCard } from "@/pages/service/chart-card";
import { DateTime } from "@/ui/ago";
import { Button } from "@/ui/button";
import { Card, Empty, ProblemCard, Skeleton } from "@/ui/card";
import { Choice } from "@/ui/choice";
import { CopyButton } from "@/ui/copy";
import styles from "./traffic.module.css";

export function TrafficTab() {
  const { service: name } = useParams({ from: "/services/$service" });
  const search = useSearch({ from: "/services/$service/traffic" });
  const navigate = useNavigate();
  const go = (changed: TrafficSearch) =>
    void navigate({ to: "/services/$service/traffic", params: { service: name }, search: changed });
  const { data: service } = useQuery(serviceQuery(name));
  const found = useQuery(metricHistoryQuery(name, search.by ?? "service", intervalOf(search)));
  return (
    <div className={styles.page}>
      <Controls search={search} onChange={go} />
      {found.error && <ProblemCard error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && (
        <Card>
          <Skeleton lines={6} />
        </Card>
      )}
      {found.data && service && (
        <Charts
          service={service}
          history={found.data}
          onRange={(from, to) => go({ from: iso(from), to: iso(to), ...(search.by ? { by: search.by } : {}) })}
        />
      )}
    </div>
  );
}

function Controls({ search, onChange }: { search: TrafficSearch; onChange: (changed: TrafficSearch) => void }) {
  const t = useT();
  const own = search.from !== undefined;
  const by = search.by ? { by: search.by } : {};
  return (
    <div className={styles.controls}>
      <fieldset className={styles.ranges} aria-label={t.traffic.range}>
        {(Object.keys(RANGES) as Range[]).map((range) => (
          <button
            key={range}
            type="button"
            className={styles.range}
            aria-pressed={!own && (search.range ?? DEFAULT_RANGE) === range}
            onClick={() => onChange({ range, ...by })}
          >
            {t.traffic.ranges[range]}
          </button>
        ))}
      </fieldset>
      {own && <Button onPress={() => onChange({ ...by })}>{t.traffic.whole}</Button>}
      <Choice
        label={t.traffic.by}
        hideLabel
        value={search.by ?? "service"}
        options={BYS.map((value) => ({ value, label: t.traffic.bys[value] }))}
        onChange={(value) => onChange({ ...search, by: value })}
      />
    </div>
  );
}

function Charts({
  service,
  history,
  onRange,
}: {
  service: ServiceDetail;
  history: MetricHistory;
  onRange: (from: number, to: number) => void;
}) {
  const t = useT();
  const marks = useMarks(service.name, history);
  const charts = chartsOf(history);
  const times = timesOf(history);
  return (
    <>
      {!hasTraffic(history) && (
        <Card>
          <Empty title={t.traffic.empty}>{t.traffic.emptyHelp}</Empty>
          {service.example && (
            <div className={styles.example}>
              <pre>{service.example}</pre>
              <CopyButton text={service.example} label={t.service.try} />
            </div>
          )}
        </Card>
      )}
      {history.left_out > 0 && <p className={styles.quiet}>{t.traffic.leftOut(history.left_out)}</p>}
      <div className={styles.charts}>
        {charts.map((chart) => (
          <ChartCard
            key={chart.id}
            service={service.name}
            by={history.by}
            chart={chart}
            times={times}
            marks={marks}
            onRange={onRange}
          />
        ))}
      </div>
      {marks.length > 0 && <Marks marks={marks} />}
    </>
  );
}

/** Revisions and changes of the number of replicas within the charts. */
function useMarks(service: string, history: MetricHistory): readonly Mark[] {
  const t = useT();
  const revisions = useInfiniteQuery(revisionsQuery(service)).data?.pages.flatMap((page) => page.items) ?? [];
  const [begin, end] = [Date.parse(history.since) / 1000, Date.parse(history.until) / 1000];
  const rollouts = revisions.map((one) => ({
    at: Date.parse(one.created_at) / 1000,
    text: t.service.rollout.from(one.number) + (one.message ? `: ${one.message}` : ""),
  }));
  const scaled = scaleChangesOf(history, timesOf(history)).map(({ at, wanted }) => ({
    at,
    text: t.traffic.scaledTo(wanted),
  }));
  return [...rollouts, ...scaled].filter(({ at }) => at >= begin && at <= end).sort((one, other) => one.at - other.at);
}

function Marks({ marks }: { marks: readonly Mark[] }) {
  const t = useT();
  return (
    <Card title={t.traffic.marks}>
      <ul className={styles.marks}>
        {marks.map((mark) => (
          <li key={`${mark.at} ${mark.text}`}>
            <DateTime at={iso(mark.at)} /> {mark.text}
          </li>
        ))}
      </ul>
    </Card>
  );
}

const iso = (seconds: number) => new Date(seconds * 1000).toISOString();
