/** Rollout in hand: old and new side by side, and what it can be told. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { rolloutActions, rolloutQuery } from "@/api/rollouts";
import type { ServiceDetail } from "@/api/services";
import { useMayChange } from "@/app/rights";
import { useT } from "@/i18n";
import { Button } from "@/ui/button";
import { Card, ProblemCard } from "@/ui/card";
import styles from "./service-page.module.css";

export function RolloutCard({ service }: { service: ServiceDetail }) {
  const t = useT();
  const queries = useQueryClient();
  const mayChange = useMayChange(service.project);
  const { data: rollout } = useQuery(rolloutQuery(service.name));
  const [error, setError] = useState<Error | null>(null);
  if (!rollout || rollout.phase === "complete") return null;
  const run = (action: (service: string) => Promise<unknown>) => {
    setError(null);
    void action(service.name).then(() => queries.invalidateQueries({ queryKey: ["services"] }), setError);
  };
  const words = t.service.rollout;
  const actions = mayChange && rollout.phase !== "failed" && (
    <>
      {rollout.phase === "paused" ? (
        <Button small onPress={() => run(rolloutActions.resume)}>
          {words.resume}
        </Button>
      ) : (
        <Button small onPress={() => run(rolloutActions.pause)}>
          {words.pause}
        </Button>
      )}
      <Button small kind="primary" onPress={() => run(rolloutActions.promote)}>
        {words.promote}
      </Button>
      <Button small kind="danger" onPress={() => run(rolloutActions.abort)}>
        {words.abort}
      </Button>
    </>
  );
  return (
    <Card title={`${words.title}: ${rollout.strategy}`} actions={actions}>
      <div className={styles.stack}>
        {error && <ProblemCard error={error} />}
        <p title={rollout.reason.code}>{rollout.reason.text}</p>
        <dl className={styles.facts}>
          <Side
            name={rollout.from_revision === null ? t.common.none : words.from(rollout.from_revision)}
            side={rollout.old}
          />
          <Side name={words.from(rollout.revision)} side={rollout.new} />
          {rollout.steps > 0 && (
            <div>
              <dt>{words.phases[rollout.phase]}</dt>
              <dd>{words.step(rollout.step, rollout.steps)}</dd>
            </div>
          )}
        </dl>
      </div>
    </Card>
  );
}

function Side({ name, side }: { name: string; side: { ready: number; replicas: number; wanted: number } }) {
  const t = useT();
  return (
    <div>
      <dt>{name}</dt>
      <dd>{t.services.ready(side.ready, side.wanted)}</dd>
    </div>
  );
}
