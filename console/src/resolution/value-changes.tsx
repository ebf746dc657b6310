/** Values before and after a change, a field a row. */

import type { Resolution } from "@/api/resolutions";
import { useT } from "@/i18n";
import { valueText } from "@/resolution/value-text";
import styles from "./resolution.module.css";

export type ValueChange = Resolution["live"][number];

/** `names`: what both sides are called, where they are not before and after. */
export function ValueChanges({
  label,
  changes,
  names,
}: {
  label: string;
  changes: readonly ValueChange[];
  names?: [string, string];
}) {
  const t = useT();
  const [before, after] = names ?? [t.resolution.before, t.resolution.after];
  return (
    <ul className={styles.changes} aria-label={label}>
      {changes.map((change) => (
        <li key={change.field} className={styles.change}>
          <code>{change.field}</code>
          <Value name={before} text={valueText(change.field, change.before)} gone={!names} />
          <Value name={after} text={valueText(change.field, change.after)} />
        </li>
      ))}
    </ul>
  );
}

function Value({ name, text, gone }: { name: string; text: string; gone?: boolean }) {
  const t = useT();
  return (
    <span className={styles.value}>
      <span className={styles.side}>{name}</span>
      {text === "" && t.common.none}
      {text !== "" && (gone ? <del className={styles.gone}>{text}</del> : <ins className={styles.come}>{text}</ins>)}
    </span>
  );
}
