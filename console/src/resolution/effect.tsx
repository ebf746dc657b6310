/** What a change does: at once, by a rollout, or nothing; each value before and after, and whether it fits. */

import type { Resolution } from "@/api/resolutions";
import { useT } from "@/i18n";
import { ValueChanges } from "@/resolution/value-changes";
import styles from "./resolution.module.css";

export function Effect({ resolution }: { resolution: Resolution }) {
  const t = useT();
  const { effect, revision, live, rolls_out: rollsOut, fit, note } = resolution;
  const words = t.resolution;
  return (
    <div className={styles.effect}>
      {effect === "nothing" && <p>{words.nothing}</p>}
      {live.length > 0 && (
        <>
          <p>{words.live}</p>
          <ValueChanges label={words.live} changes={live} />
        </>
      )}
      {effect === "rollout" && revision !== null && (
        <>
          <p>{words.rollout(revision)}</p>
          {rollsOut.length > 0 && <ValueChanges label={words.rollout(revision)} changes={rollsOut} />}
        </>
      )}
      {fit && (
        <p className={fit.placed < fit.replicas ? styles.warning : styles.quiet} title={fit.reason?.code}>
          {fit.placed < fit.replicas
            ? (fit.reason?.text ?? words.fits(fit.placed, fit.replicas))
            : words.fits(fit.placed, fit.replicas)}
        </p>
      )}
      {note && (
        <p className={styles.warning} title={note.code}>
          {note.text}
        </p>
      )}
    </div>
  );
}
