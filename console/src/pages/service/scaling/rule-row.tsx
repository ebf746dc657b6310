/** A rule as a sentence, with the last value on its threshold, the last decision and why, and a switch. */

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type Rule, ruleActions } from "@/api/scaling";
import type { ServiceDetail } from "@/api/services";
import { useMayChange } from "@/app/rights";
import { useT } from "@/i18n";
import { duration } from "@/i18n/format";
import { useNow } from "@/lib/clock";
import { gauge, rounded, SIGNS } from "@/pages/service/scaling/rule-form";
import { Ago } from "@/ui/ago";
import { Button } from "@/ui/button";
import { ProblemCard } from "@/ui/card";
import { Confirm } from "@/ui/dialog";
import { Check } from "@/ui/field";
import styles from "./scaling.module.css";

type Props = { service: ServiceDetail; rule: Rule; onEdit: () => void };

export function RuleRow({ service, rule, onEdit }: Props) {
  const t = useT();
  const queries = useQueryClient();
  const mayChange = useMayChange(service.project);
  const [removing, setRemoving] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const { spec } = rule;
  const read = () => queries.invalidateQueries({ queryKey: ["scaling"] });
  const sentence = t.scaling.sentence({
    metric: spec.metric,
    condition: `${SIGNS[spec.comparator]} ${spec.threshold}`,
    step: spec.step > 0 ? `+ ${spec.step}` : `− ${-spec.step}`,
    bounds: `${spec.min_replicas} … ${spec.max_replicas}`,
    rest: duration(spec.cooldown_s),
  });
  return (
    <li className={styles.rule} data-off={!spec.enabled || undefined}>
      <p className={styles.sentence}>{sentence}</p>
      <Outcome rule={rule} />
      {mayChange && (
        <div className={styles.actions}>
          <Check
            label={t.scaling.enabled}
            checked={spec.enabled}
            onChange={(enabled) => {
              setError(null);
              void ruleActions.change(service.name, rule, { enabled }).then(read, setError);
            }}
          />
          <Button small onPress={onEdit}>
            {t.scaling.edit}
          </Button>
          <Button small kind="danger" onPress={() => setRemoving(true)}>
            {t.service.delete}
          </Button>
        </div>
      )}
      {error && <ProblemCard error={error} />}
      {removing && (
        <Confirm
          title={t.scaling.deleteTitle}
          text={sentence}
          verb={t.scaling.deleteVerb}
          onConfirm={() => ruleActions.remove(service.name, rule).then(read)}
          onClose={() => setRemoving(false)}
        />
      )}
    </li>
  );
}

function Outcome({ rule: { spec, outcome } }: { rule: Rule }) {
  const t = useT();
  const now = useNow();
  if (!spec.enabled) return <p className={styles.quiet}>{t.scaling.off}</p>;
  if (!outcome) return <p className={styles.quiet}>{t.scaling.notYet}</p>;
  const { observed, cooldown_until: until } = outcome;
  const rest = until ? (Date.parse(until) - now) / 1000 : 0;
  return (
    <>
      {observed !== null && <Gauge observed={observed} threshold={spec.threshold} />}
      <p className={styles.quiet} title={outcome.reason.code}>
        {outcome.reason.text} · <Ago at={outcome.at} />
      </p>
      {rest > 0 && <p className={styles.quiet}>{t.scaling.resting(duration(rest))}</p>}
    </>
  );
}

function Gauge({ observed, threshold }: { observed: number; threshold: number }) {
  const t = useT();
  const places = gauge(observed, threshold);
  return (
    <div className={styles.gauge}>
      <span className={styles.line} aria-hidden="true">
        <span className={styles.value} style={{ width: `${places.value}%` }} />
        <span className={styles.threshold} style={{ left: `${places.threshold}%` }} />
      </span>
      <span>{t.scaling.last(rounded(observed), rounded(threshold))}</span>
    </div>
  );
}
