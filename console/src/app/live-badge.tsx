/** Whether the page is live, and if not, why. */

import { useLiveState } from "@/app/live-state";
import { useT } from "@/i18n";
import styles from "./shell.module.css";

export function LiveBadge() {
  const t = useT();
  const state = useLiveState();
  if (state.kind === "live")
    return (
      <span className={styles.badge} role="status">
        <span className={styles.dot} />
        {t.live.live}
      </span>
    );
  const why = state.why === "away" ? t.live.away : t.live.pollingWhy(t.live[state.why]);
  return (
    <span className={`${styles.badge} ${styles.polling}`} role="status" title={why}>
      <span className={styles.dot} />
      {state.why === "away" ? t.live.away : t.live.polling}
    </span>
  );
}
