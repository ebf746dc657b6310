/** Failed starts, and replicas that ended in operation: when, why, with what code; each opens with the end of its log. */

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type ServiceDetail, serviceActions } from "@/api/services";
import { useMayChange } from "@/app/rights";
import { type Messages, useT } from "@/i18n";
import { ReplicaLink } from "@/pages/service/replica-link";
import { Ago } from "@/ui/ago";
import { Button } from "@/ui/button";
import { Card, ProblemCard } from "@/ui/card";
import { type Column, Table } from "@/ui/table";
import styles from "./service-page.module.css";

type Failed = ServiceDetail["errors"][number];
type End = ServiceDetail["ends"][number];

export function FailedStarts({ service }: { service: ServiceDetail }) {
  const t = useT();
  const queries = useQueryClient();
  const mayChange = useMayChange(service.project);
  const [error, setError] = useState<Error | null>(null);
  const next = service.next_retry_at ?? service.next_restart_at;
  if (service.errors.length === 0 && !next) return null;
  const retry = () =>
    void serviceActions.retry(service.name).then(() => queries.invalidateQueries({ queryKey: ["services"] }), setError);
  const actions = mayChange && (
    <Button small onPress={retry}>
      {t.service.retry}
    </Button>
  );
  return (
    <Card title={t.service.failures.title} actions={actions} flush>
      {next && (
        <p className={styles.note}>
          {t.service.failures.next}: <Ago at={next} />
        </p>
      )}
      {error && <ProblemCard error={error} />}
      <Table
        label={t.service.failures.title}
        columns={columnsOf<Failed>(t)}
        rows={service.errors}
        rowKey={(failed) => `${failed.session_id} ${failed.at}`}
      />
    </Card>
  );
}

export function Ends({ service }: { service: ServiceDetail }) {
  const t = useT();
  if (service.ends.length === 0) return null;
  const columns: readonly Column<End>[] = [
    ...columnsOf<End>(t),
    {
      id: "exit",
      title: t.service.replicas.exitCode,
      kind: "number",
      cell: (end) => end.signal ?? end.exit_code ?? t.common.none,
    },
    { id: "machine", title: t.service.replicas.machine, cell: (end) => end.agent_id ?? t.common.none },
  ];
  return (
    <Card title={t.service.failures.ends} flush>
      <Table
        label={t.service.failures.ends}
        columns={columns}
        rows={service.ends}
        rowKey={(end) => `${end.session_id} ${end.at}`}
      />
    </Card>
  );
}

function columnsOf<R extends Failed | End>(t: Messages): readonly Column<R>[] {
  return [
    { id: "at", title: t.history.when, cell: (one) => <Ago at={one.at} /> },
    { id: "id", title: t.service.replicas.id, cell: (one) => <ReplicaLink id={one.session_id} /> },
    {
      id: "why",
      title: t.common.why,
      kind: "wrap",
      cell: (one) => <span title={one.reason.code}>{one.reason.text}</span>,
    },
  ];
}
