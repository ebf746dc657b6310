/** Somebody else changed the service meanwhile: theirs and yours side by side, and what is to be kept. */

import { useT } from "@/i18n";
import type { Conflict } from "@/pages/service/settings/changes";
import { ValueChanges } from "@/resolution/value-changes";
import { Button } from "@/ui/button";
import { Card } from "@/ui/card";
import styles from "./settings.module.css";

type Props = { conflicts: readonly Conflict[]; onKeep: () => void; onTake: (ids: ReadonlySet<string>) => void };

export function ConflictCard({ conflicts, onKeep, onTake }: Props) {
  const t = useT();
  const both = new Set<string>(conflicts.filter(({ yours }) => yours !== null).map(({ id }) => id));
  return (
    <Card title={t.settings.conflict.title}>
      <div className={styles.fields} role="alert">
        <p>{both.size ? t.settings.conflict.same : t.settings.conflict.others}</p>
        {conflicts.length > 0 && (
          <ValueChanges
            label={t.settings.conflict.title}
            names={[t.settings.conflict.theirs, t.settings.conflict.yours]}
            changes={conflicts.map(({ id, theirs, yours }) => ({
              field: t.settings.fields[id],
              before: theirs,
              after: yours ?? t.settings.conflict.untouched,
            }))}
          />
        )}
        <div className={styles.actions}>
          <Button kind="primary" onPress={onKeep}>
            {both.size ? t.settings.conflict.keepYours : t.settings.conflict.goOn}
          </Button>
          {both.size > 0 && <Button onPress={() => onTake(both)}>{t.settings.conflict.takeTheirs}</Button>}
        </div>
      </div>
    </Card>
  );
}
