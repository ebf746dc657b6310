/** Overview of a service: its rollout, its replicas with why, failed starts, ends, and how to call it. */

import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { type Replica, type ServiceDetail, serviceQuery } from "@/api/services";
import { type Messages, useT } from "@/i18n";
import { Ends, FailedStarts } from "@/pages/service/failed-starts";
import { ReplicaDrawer } from "@/pages/service/replica-drawer";
import { ReplicaLink } from "@/pages/service/replica-link";
import { RolloutCard } from "@/pages/service/rollout-card";
import { TransferProgress } from "@/pages/service/transfer-progress";
import { Ago } from "@/ui/ago";
import { Card, Empty } from "@/ui/card";
import { CopyButton } from "@/ui/copy";
import { HealthBadge } from "@/ui/status";
import { type Column, Table } from "@/ui/table";
import styles from "./service-page.module.css";

export function OverviewTab() {
  const t = useT();
  const { service: name } = useParams({ from: "/services/$service" });
  const { replica } = useSearch({ from: "/services/$service/" });
  const navigate = useNavigate();
  const { data: service } = useQuery(serviceQuery(name));
  if (!service) return null;
  const close = () =>
    void navigate({ to: "/services/$service", params: { service: name }, search: {}, resetScroll: false });
  return (
    <div className={styles.stack}>
      <RolloutCard service={service} />
      <Replicas service={service} />
      <FailedStarts service={service} />
      <Ends service={service} />
      {service.example && (
        <Card title={t.service.try} actions={<CopyButton text={service.example} label={t.service.try} />}>
          <pre className={styles.example}>{service.example}</pre>
        </Card>
      )}
      {replica && <ReplicaDrawer key={replica} service={service} id={replica} onClose={close} />}
    </div>
  );
}

function Replicas({ service }: { service: ServiceDetail }) {
  const t = useT();
  const replicas = service.replica_list;
  return (
    <Card title={t.service.replicas.title} flush>
      {replicas.length === 0 ? (
        <Empty title={t.service.replicas.none}>{service.reason.text}</Empty>
      ) : (
        <Table
          label={t.service.replicas.title}
          columns={columnsOf(t, service.name)}
          rows={replicas}
          rowKey={(replica) => replica.id}
        />
      )}
    </Card>
  );
}

function columnsOf(t: Messages, service: string): readonly Column<Replica>[] {
  const words = t.service.replicas;
  return [
    { id: "id", title: words.id, cell: (replica) => <ReplicaLink id={replica.id} /> },
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
        <Link to="/services/$service/logs" params={{ service }} search={{ replica: replica.id }}>
          {words.logs}
        </Link>
      ),
    },
  ];
}

function Why({ replica }: { replica: Replica }) {
  return (
    <>
      <span title={replica.reason.code}>{replica.reason.text}</span>
      {replica.transfer && <TransferProgress transfer={replica.transfer} />}
    </>
  );
}
