/** Revisions of a service, with a way back to each, and everything that was changed. */

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { type HistoryEntry, historyQuery, type Revision, revisionsQuery } from "@/api/history";
import { serviceQuery } from "@/api/services";
import { useMayChange } from "@/app/rights";
import { type Messages, useT } from "@/i18n";
import { CompareCard, type Compared } from "@/pages/service/compare";
import { RollBack } from "@/pages/service/roll-back";
import { Ago } from "@/ui/ago";
import { Button } from "@/ui/button";
import { Card, Empty, ProblemCard, Skeleton } from "@/ui/card";
import { Badge } from "@/ui/status";
import { type Column, Table } from "@/ui/table";
import styles from "./service-page.module.css";

export function HistoryTab() {
  const { service: name } = useParams({ from: "/services/$service" });
  const { from, to } = useSearch({ from: "/services/$service/history" });
  const navigate = useNavigate();
  const compare = (search: Partial<Compared>) =>
    void navigate({ to: "/services/$service/history", params: { service: name }, search, replace: true });
  return (
    <div className={styles.stack}>
      {from !== undefined && to !== undefined && (
        <CompareCard name={name} compared={{ from, to }} onChange={compare} onClose={() => compare({})} />
      )}
      <Revisions name={name} onCompare={compare} />
      <Changes name={name} />
    </div>
  );
}

/** A revision is compared with the current one, the current one with the one before. */
function comparedWith(revision: number, current: number): Compared {
  return revision === current
    ? { from: revision - 1, to: revision }
    : { from: Math.min(revision, current), to: Math.max(revision, current) };
}

function Revisions({ name, onCompare }: { name: string; onCompare: (compared: Compared) => void }) {
  const t = useT();
  const { data: service } = useQuery(serviceQuery(name));
  const mayChange = useMayChange(service?.project ?? "");
  const found = useInfiniteQuery(revisionsQuery(name));
  const [back, setBack] = useState<number | null>(null);
  const columns: readonly Column<Revision>[] = [
    { id: "number", title: t.services.revision, kind: "number", cell: (revision) => revision.number },
    { id: "when", title: t.history.when, cell: (revision) => <Ago at={revision.created_at} /> },
    { id: "who", title: t.history.who, cell: (revision) => revision.created_by },
    { id: "message", title: t.history.message, kind: "wrap", cell: (revision) => revision.message || t.common.none },
    {
      id: "action",
      title: "",
      kind: "number",
      cell: (revision) => (
        <span className={styles.buttons}>
          {revision.number === service?.served_revision && <Badge look="healthy">{t.history.running}</Badge>}
          {service && (service.revision > 1 || revision.number > 1) && (
            <Button small kind="quiet" onPress={() => onCompare(comparedWith(revision.number, service.revision))}>
              {t.history.compare}
            </Button>
          )}
          {mayChange &&
            service &&
            revision.number !== service.served_revision &&
            revision.number !== service.revision && (
              <Button small onPress={() => setBack(revision.number)}>
                {t.history.rollBack}
              </Button>
            )}
        </span>
      ),
    },
  ];
  return (
    <Card title={t.history.title} flush>
      <Pages
        found={found}
        label={t.history.title}
        columns={columns}
        rowKey={(revision) => String(revision.number)}
        t={t}
      />
      {service && back !== null && <RollBack service={service} revision={back} onClose={() => setBack(null)} />}
    </Card>
  );
}

function Changes({ name }: { name: string }) {
  const t = useT();
  const found = useInfiniteQuery(historyQuery(name));
  const columns: readonly Column<HistoryEntry>[] = [
    { id: "when", title: t.history.when, cell: (entry) => <Ago at={entry.at} /> },
    { id: "who", title: t.history.who, cell: (entry) => entry.actor },
    { id: "what", title: t.history.what, cell: (entry) => entry.action },
    { id: "details", title: t.history.message, kind: "wrap", cell: (entry) => entry.message || details(entry) },
  ];
  return (
    <Card title={t.history.changes} flush>
      <Pages found={found} label={t.history.changes} columns={columns} rowKey={(entry) => entry.id} t={t} />
    </Card>
  );
}

type Found<R> = {
  data?: { pages: readonly { items: readonly R[] }[] } | undefined;
  error: Error | null;
  hasNextPage: boolean;
  isFetching: boolean;
  refetch: () => unknown;
  fetchNextPage: () => unknown;
};

function Pages<R>({
  found,
  label,
  columns,
  rowKey,
  t,
}: {
  found: Found<R>;
  label: string;
  columns: readonly Column<R>[];
  rowKey: (row: R) => string;
  t: Messages;
}) {
  if (!found.data)
    return found.error ? <ProblemCard error={found.error} onRetry={() => void found.refetch()} /> : <Skeleton />;
  const rows = found.data.pages.flatMap((page) => page.items);
  if (rows.length === 0) return <Empty title={t.history.empty} />;
  return (
    <>
      <Table label={label} columns={columns} rows={rows} rowKey={rowKey} />
      {found.hasNextPage && (
        <div style={{ padding: 12 }}>
          <Button disabled={found.isFetching} onPress={() => void found.fetchNextPage()}>
            {t.common.more}
          </Button>
        </div>
      )}
    </>
  );
}

/** Values of a change in a line; whole objects are left out, revisions show them. */
function details(entry: HistoryEntry): string {
  return Object.entries(entry.details)
    .filter(([, value]) => value !== null && (typeof value !== "object" || Array.isArray(value)))
    .map(([name, value]) => `${name}: ${Array.isArray(value) ? value.join(", ") : String(value)}`)
    .join(", ");
}
