/** Rows of the list of services; only those that are seen are in the page. */

import { Link } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef } from "react";
import type { Service } from "@/api/services";
import { type Messages, useT } from "@/i18n";
import { slot } from "@/i18n/format";
import { Ago } from "@/ui/ago";
import { ServiceBadge } from "@/ui/status";
import { type Column, TableHead, TableRow, tableClass } from "@/ui/table";
import styles from "./services-page.module.css";

const ROW = 45;
const MOST_CELLS = 12;

export function ServiceRows({ services, onEnd }: { services: readonly Service[]; onEnd: () => void }) {
  const t = useT();
  const scroller = useRef<HTMLElement>(null);
  const columns = useMemo(() => columnsOf(t), [t]);
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

function columnsOf(t: Messages): readonly Column<Service>[] {
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
