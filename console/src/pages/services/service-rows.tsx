/** Rows of the list of services; only those that are seen are in the page. */

import { Link } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef } from "react";
import type { MetricsNow } from "@/api/metrics";
import type { Service } from "@/api/services";
import { type Language, type Messages, useLanguage, useT } from "@/i18n";
import { latency, slot } from "@/i18n/format";
import { Ago } from "@/ui/ago";
import { ServiceBadge } from "@/ui/status";
import { type Column, TableHead, TableRow, tableClass } from "@/ui/table";
import styles from "./services-page.module.css";

const ROW = 45;
const MOST_CELLS = 12;

type Props = { services: readonly Service[]; traffic: MetricsNow | undefined; onEnd: () => void };

export function ServiceRows({ services, traffic, onEnd }: Props) {
  const t = useT();
  const language = useLanguage();
  const scroller = useRef<HTMLElement>(null);
  const columns = useMemo(() => columnsOf(t, traffic, language), [t, traffic, language]);
  const rows = useVirtualizer({
    count: services.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 12,
  });
  const shown = rows.getVirtualItems();
  const lastShown = shown.at(-1)?.index ?? 0;
  // biome-ignore lint/correctness/useExhaustiveDependencies: when the end comes into view
  useEffect(() => {
    if (lastShown >= services.length - 20) onEnd();
  }, [lastShown, services.length]);
  const before = shown[0]?.start ?? 0;
  const after = rows.getTotalSize() - (shown.at(-1)?.end ?? 0);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so keys must reach it
    <section ref={scroller} className={styles.list} tabIndex={0} aria-label={t.services.title}>
      <table className={tableClass} aria-label={t.services.title} aria-rowcount={services.length}>
        <TableHead columns={columns} />
        <tbody>
          {before > 0 && <tr style={{ height: before }} />}
          {shown.map((row) => {
            const service = services[row.index];
            return service && <TableRow key={service.id} columns={columns} row={service} />;
          })}
          {after > 0 && <tr style={{ height: after }} />}
        </tbody>
      </table>
    </section>
  );
}

function columnsOf(t: Messages, traffic: MetricsNow | undefined, language: Language): readonly Column<Service>[] {
  const byId = new Map(traffic?.items.map((one) => [one.id, one]));
  const rate = new Intl.NumberFormat(language, { maximumSignificantDigits: 3 });
  const share = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 });
  const none = traffic?.heard ? "0" : t.common.none;
  return [
    { id: "name", title: t.services.name, cell: (service) => <Name service={service} /> },
    {
      id: "status",
      title: t.services.status,
      cell: (service) => (
        <span className={styles.status}>
          <ServiceBadge service={service} />
          {(service.status !== "healthy" || service.phase !== "deployed") && (
            <span className={styles.why} title={`${service.reason.text} (${service.reason.code})`}>
              {service.reason.text}
            </span>
          )}
        </span>
      ),
    },
    { id: "replicas", title: t.services.replicas, cell: (service) => <Replicas service={service} /> },
    {
      id: "requests",
      title: t.services.requests,
      kind: "number",
      cell: (service) => {
        const now = byId.get(service.id);
        return now ? rate.format(now.requests_per_second) : none;
      },
    },
    {
      id: "latency",
      title: t.services.latency,
      kind: "number",
      cell: (service) => {
        const seconds = byId.get(service.id)?.latency_p95_s;
        return typeof seconds === "number" ? latency(seconds) : t.common.none;
      },
    },
    {
      id: "errors",
      title: t.services.errors,
      kind: "number",
      cell: (service) => {
        const now = byId.get(service.id);
        return now?.requests_per_second
          ? share.format(now.server_errors_per_second / now.requests_per_second)
          : t.common.none;
      },
    },
    { id: "runtime", title: t.services.runtime, cell: (service) => service.runtime },
    { id: "slots", title: t.services.slots, cell: slots },
    { id: "revision", title: t.services.revision, kind: "number", cell: (service) => service.revision },
    {
      id: "updated",
      title: t.services.updated,
      kind: "number",
      cell: (service) => <Ago at={service.updated_at} plain />,
    },
  ];
}

function Name({ service }: { service: Service }) {
  return (
    <span className={styles.name}>
      <Link to="/services/$service" params={{ service: service.name }} title={service.description || service.name}>
        {service.name}
      </Link>
      <span className={styles.project}>{service.project}</span>
    </span>
  );
}

function Replicas({ service }: { service: Service }) {
  const t = useT();
  const { healthy_replicas: healthy, replicas: wanted } = service;
  return (
    <span title={t.services.ready(healthy, wanted)}>
      {wanted <= MOST_CELLS && wanted > 0 && (
        <span className={styles.cells} aria-hidden="true">
          {Array.from({ length: wanted }, (_, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: cells have nothing else
            <span key={index} className={styles.cell} data-healthy={index < healthy || undefined} />
          ))}
        </span>
      )}
      {healthy}/{wanted}
    </span>
  );
}

function slots(service: Service): string {
  const parts = Object.entries(service.slots).map(([name, amount]) => `${slot(name, amount)} ${name}`);
  return parts.join(", ");
}
