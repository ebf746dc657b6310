/** What a replica can be told: its weight, and that another one takes its place. */

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { replicaActions } from "@/api/replicas";
import type { Replica } from "@/api/services";
import { useT } from "@/i18n";
import { Ago } from "@/ui/ago";
import { Button } from "@/ui/button";
import { ProblemCard } from "@/ui/card";
import { TextField } from "@/ui/field";
import styles from "./service-page.module.css";

export function ReplicaActions({ service, replica }: { service: string; replica: Replica }) {
  const t = useT();
  const queries = useQueryClient();
  const words = t.service.replicas;
  const [weight, setWeight] = useState(String(replica.weight));
  const [error, setError] = useState<Error | null>(null);
  const run = (action: Promise<unknown>) => {
    setError(null);
    void action.then(() => queries.invalidateQueries({ queryKey: ["services"] }), setError);
  };
  return (
    <section className={styles.part} aria-label={t.common.more}>
      <div className={styles.weight}>
        <TextField label={words.weight} help={words.weightHelp} value={weight} onChange={setWeight} maxLength={5} />
        <Button
          disabled={!/^\d+$/.test(weight) || Number(weight) === replica.weight}
          onPress={() => run(replicaActions.weigh(service, replica.id, Number(weight)))}
        >
          {words.setWeight}
        </Button>
      </div>
      {replica.replace_asked_at ? (
        <p className={styles.note}>
          {words.replacing} <Ago at={replica.replace_asked_at} />
        </p>
      ) : (
        <div className={styles.buttons} style={{ justifyContent: "flex-start" }}>
          <Button onPress={() => run(replicaActions.replace(service, replica.id))}>{words.replace}</Button>
          <span className={styles.why}>{words.replaceHelp}</span>
        </div>
      )}
      {error && <ProblemCard error={error} />}
    </section>
  );
}
