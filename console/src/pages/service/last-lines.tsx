/** The last lines of a replica's log, with a way to all of it. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { lastLinesQuery } from "@/api/replicas";
import type { Replica } from "@/api/services";
import { useT } from "@/i18n";
import { Skeleton } from "@/ui/card";
import styles from "./service-page.module.css";

export function LastLines({ service, replica }: { service: string; replica: Replica }) {
  const t = useT();
  const { data, error } = useQuery({ ...lastLinesQuery(service, replica.id), enabled: replica.agent_id !== null });
  if (replica.agent_id === null) return null;
  return (
    <section className={styles.part} aria-label={t.service.replicas.lastLines}>
      <h3>{t.service.replicas.lastLines}</h3>
      {error && <p className={styles.why}>{error.message || t.error.network}</p>}
      {data === undefined && !error && <Skeleton />}
      {data === "" && <p className={styles.why}>{t.logs.empty}</p>}
      {data && <pre className={styles.example}>{data}</pre>}
      <Link to="/services/$service/logs" params={{ service }} search={{ replica: replica.id }}>
        {t.service.replicas.logs}
      </Link>
    </section>
  );
}
