/** Overview of a service: its rollout, its replicas with why, failed starts, and how to call it. */

import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { type Replica, type ServiceDetail, serviceActions, serviceQuery } from "@/api/services";
import { useMayChange } from "@/app/rights";
import { type Messages, useT } from "@/i18n";
import { disk } from "@/i18n/format";
import { RolloutCard } from "@/pages/service/rollout-card";
import { Ago } from "@/ui/ago";
import { Card, Empty } from "@/ui/card";
import { CopyButton } from "@/ui/copy";
import { MoreIcon } from "@/ui/icons";
import { Menu } from "@/ui/menu";
import { HealthBadge } from "@/ui/status";
import { type Column, Table } from "@/ui/table";
import styles from "./service-page.module.css";

const ID_SHOWN = 8;

export function OverviewTab() {
  const t = useT();
  const { service: name } = useParams({ from: "/services/$service" });
  const { data: service } = useQuery(serviceQuery(name));
  if (!service) return null;
  return (
    <div className={styles.stack}>
      <RolloutCard service={service} />
      <Replicas service={service} />
      <FailedStarts service={service} />
      {service.example && (
        <Card title={t.service.try} actions={<CopyButton text={service.example} label={t.service.try} />}>
          <pre className={styles.example}>{service.example}</pre>
        </Card>
      )}
    </div>
  );
}

function Replicas({ service }: { service: ServiceDetail }) {
  const t = useT();
  const mayChange = useMayChange(service.project);
  const replicas = service.replica_list;
  return (
    <Card title={t.service.replicas.title} flush>
      {replicas.length === 0 ? (
        <Empty title={t.service.replicas.none}>{service.reason.text}</Empty>
      ) : (
        <Table
          label={t.service.replicas.title}
          columns={columnsOf(t, service.name, mayChange)}
          rows={replicas}
          rowKey={(replica) => replica.id}
        />
      )}
    </Card>
  );
}

function columnsOf(t: Messages, service: string, mayChange: boolean): readonly Column<Replica>[] {
  const words = t.service.replicas;
  return [
    { id: "id", title: words.id, cell: (replica) => <code title={replica.id}>{replica.id.slice(-ID_SHOWN)}</code> },
    { id: "health", title: words.health, cell: (replica) => <HealthBadge health={replica.health} /> },
    { id: "state", title: words.state, cell: (replica) => words.states[replica.status] },
    { id: "revision", title: t.services.revision, kind: "number", cell: (replica) => replica.revision },
    { id: "machine", title: words.machine, cell: (replica) => replica.agent_id ?? t.common.none },
    { id: "age", title: words.age, kind: "number", cell: (replica) => <Ago at={replica.created_at} plain /> },
    { id: "weight", title: words.weight, kind: "number", cell: (replica) => replica.weight },
    { id: "why", title: words.why, kind: "wrap", cell: (replica) => <Why replica={replica} /> },
    {
      id: "actions",
      title: "",
      kind: "number",
      cell: (replica) => (
        <span style={{ display: "inline-flex", alignItems: "center", gap: 4 }}>
          <Link to="/services/$service/logs" params={{ service }} search={{ replica: replica.id }}>
            {words.logs}
          </Link>
          {mayChange && (
            <Menu
              label={t.common.more}
              icon={<MoreIcon />}
              actions={[
                {
                  id: "replace",
                  label: words.replace,
                  onAction: () => void serviceActions.replace(service, replica.id),
                },
              ]}
            />
          )}
        </span>
      ),
    },
  ];
}

function Why({ replica }: { replica: Replica }) {
  const { transfer } = replica;
  return (
    <>
      <span title={replica.reason.code}>{replica.reason.text}</span>
      {transfer && transfer.bytes_total > 0 && (
        <span style={{ display: "flex", alignItems: "center", gap: 8 }}>
          <span className={styles.progress} aria-hidden="true">
            <div style={{ width: `${Math.min(100, (100 * transfer.bytes_done) / transfer.bytes_total)}%` }} />
          </span>
          {disk(transfer.bytes_done)} / {disk(transfer.bytes_total)}, {disk(transfer.bytes_per_s)}/s
        </span>
      )}
    </>
  );
}

function FailedStarts({ service }: { service: ServiceDetail }) {
  const t = useT();
  const failed = service.errors;
  if (failed.length === 0 && !service.next_retry_at) return null;
  return (
    <Card title={t.service.failures.title} flush>
      {service.next_retry_at && (
        <p className={styles.note}>
          {t.service.failures.next}: <Ago at={service.next_retry_at} />
        </p>
      )}
      <Table
        label={t.service.failures.title}
        columns={[
          { id: "at", title: t.history.when, cell: (error) => <Ago at={error.at} /> },
          {
            id: "id",
            title: t.service.replicas.id,
            cell: (error) => <code title={error.session_id}>{error.session_id.slice(-ID_SHOWN)}</code>,
          },
          {
            id: "why",
            title: t.common.why,
            kind: "wrap",
            cell: (error) => <span title={error.reason.code}>{error.reason.text}</span>,
          },
        ]}
        rows={failed}
        rowKey={(error) => `${error.session_id} ${error.at}`}
      />
    </Card>
  );
}
