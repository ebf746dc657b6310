/** Two revisions side by side: the effective values in which they differ, and the receipt of the newer one's rollout. */

import { useQuery } from "@tanstack/react-query";
import { receiptQuery, revisionQuery } from "@/api/history";
import { useT } from "@/i18n";
import { duration } from "@/i18n/format";
import { differences } from "@/lib/differences";
import { ValueChanges } from "@/resolution/value-changes";
import { Button } from "@/ui/button";
import { Card, ProblemCard, Skeleton } from "@/ui/card";
import { TextField } from "@/ui/field";
import styles from "./service-page.module.css";

export type Compared = { from: number; to: number };

type Props = { name: string; compared: Compared; onChange: (compared: Compared) => void; onClose: () => void };

export function CompareCard({ name, compared, onChange, onClose }: Props) {
  const t = useT();
  const { from, to } = compared;
  const choose = (side: keyof Compared) => (text: string) =>
    /^[1-9]\d{0,8}$/.test(text) && onChange({ ...compared, [side]: Number(text) });
  return (
    <Card
      title={t.history.compareTitle(from, to)}
      actions={
        <Button small kind="quiet" onPress={onClose}>
          {t.common.close}
        </Button>
      }
    >
      <div className={styles.stack}>
        <div className={styles.sides}>
          <TextField type="number" label={t.history.from} value={String(from)} onChange={choose("from")} />
          <TextField type="number" label={t.history.to} value={String(to)} onChange={choose("to")} />
        </div>
        <Differences name={name} from={from} to={to} />
        <Receipt name={name} revision={to} />
      </div>
    </Card>
  );
}

/** Effective values in which two revisions of a service differ. */
export function Differences({ name, from, to }: { name: string } & Compared) {
  const t = useT();
  const before = useQuery(revisionQuery(name, from));
  const after = useQuery(revisionQuery(name, to));
  const error = before.error ?? after.error;
  if (error) return <ProblemCard error={error} />;
  if (!before.data || !after.data) return <Skeleton />;
  const found = differences(before.data.effective, after.data.effective);
  if (found.length === 0) return <p className={styles.why}>{t.history.same}</p>;
  return (
    <ValueChanges
      label={t.history.compareTitle(from, to)}
      changes={found}
      names={[t.service.rollout.from(from), t.service.rollout.from(to)]}
    />
  );
}

function Receipt({ name, revision }: { name: string; revision: number }) {
  const t = useT();
  const { data } = useQuery(receiptQuery(name, revision));
  if (!data) return null;
  const words = t.history.receipt;
  if (data.replicas === 0) return <p className={styles.why}>{words.none(revision)}</p>;
  const facts: [string, string][] = [
    [words.replicas, String(data.replicas)],
    [words.started, String(data.started)],
    [words.finished, String(data.finished)],
    [words.retried, String(data.retried)],
    [words.failed, String(data.failed)],
    [words.cut, String(data.cut)],
    [words.slowest, data.started ? duration(data.slowest_s) : t.common.none],
  ];
  return (
    <section className={styles.stack} aria-label={words.title(revision)}>
      <h3>{words.title(revision)}</h3>
      <dl className={`${styles.facts} ${styles.numbers}`}>
        {facts.map(([fact, value]) => (
          <div key={fact}>
            <dt>{fact}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {!data.complete && <p className={styles.note}>{words.incomplete(data.draining, data.waiting_for.join(", "))}</p>}
    </section>
  );
}
