/** A replica beside the page: where it is in its life and why, the end of its log, and what it can be told. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { replicaQuery } from "@/api/replicas";
import type { Replica, ServiceDetail } from "@/api/services";
import { useMayChange } from "@/app/rights";
import { useT } from "@/i18n";
import { duration } from "@/i18n/format";
import { useNow } from "@/lib/clock";
import { phasesOf } from "@/lib/replica-phases";
import { LastLines } from "@/pages/service/last-lines";
import { ReplicaActions } from "@/pages/service/replica-actions";
import { TransferProgress } from "@/pages/service/transfer-progress";
import { ProblemCard, Skeleton } from "@/ui/card";
import { Copyable } from "@/ui/copy";
import { Dialog } from "@/ui/dialog";
import { HealthBadge } from "@/ui/status";
import styles from "./service-page.module.css";

type Props = { service: ServiceDetail; id: string; onClose: () => void };

export function ReplicaDrawer({ service, id, onClose }: Props) {
  const t = useT();
  const mayChange = useMayChange(service.project);
  const { data: replica, error, refetch } = useQuery(replicaQuery(service.name, id));
  return (
    <Dialog title={t.service.replicas.id} onClose={onClose} side>
      <Copyable text={id} label={t.service.replicas.id} />
      {error && <ProblemCard error={error} onRetry={() => void refetch()} />}
      {!replica && !error && <Skeleton lines={6} />}
      {replica && (
        <>
          <Facts service={service.name} replica={replica} />
          <Timeline replica={replica} />
          {replica.transfer && <TransferProgress transfer={replica.transfer} />}
          <LastLines service={service.name} replica={replica} />
          {mayChange && replica.status !== "ended" && <ReplicaActions service={service.name} replica={replica} />}
        </>
      )}
    </Dialog>
  );
}

function Facts({ service, replica }: { service: string; replica: Replica }) {
  const t = useT();
  const words = t.service.replicas;
  const facts: [string, React.ReactNode][] = [
    [words.state, words.states[replica.status]],
    [words.machine, replica.agent_id ?? t.common.none],
    [words.address, replica.address ?? t.common.none],
    [
      t.services.revision,
      <Link key="revision" to="/services/$service/history" params={{ service }} search={{}}>
        {replica.revision}
      </Link>,
    ],
    [words.weight, replica.weight],
    [words.failedChecks, replica.failed_checks],
    ...(replica.exit_code === null ? [] : [[words.exitCode, replica.exit_code] as [string, number]]),
  ];
  return (
    <>
      <HealthBadge health={replica.health} />
      <p title={replica.reason.code} style={{ overflowWrap: "anywhere" }}>
        {replica.reason.text}
      </p>
      <dl className={`${styles.facts} ${styles.numbers}`}>
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

function Timeline({ replica }: { replica: Replica }) {
  const t = useT();
  const phases = phasesOf(replica, useNow());
  const longest = Math.max(...phases.map(({ seconds }) => seconds), 1);
  return (
    <section className={styles.part} aria-label={t.service.replicas.timeline}>
      <h3>{t.service.replicas.timeline}</h3>
      <ol className={styles.timeline}>
        {phases.map(({ name, seconds, now }) => (
          <li key={name} data-now={now || undefined}>
            <span>{t.service.replicas.phases[name]}</span>
            <span className={styles.bar} style={{ width: `${Math.max(1, (100 * seconds) / longest)}%` }} />
            <span className={styles.seconds}>{duration(seconds)}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}
