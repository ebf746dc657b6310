/** Progress of the folder that a replica's start waits for, with the time left. */

import type { Replica } from "@/api/services";
import { useT } from "@/i18n";
import { disk, duration } from "@/i18n/format";
import styles from "./service-page.module.css";

export function TransferProgress({ transfer }: { transfer: NonNullable<Replica["transfer"]> }) {
  const t = useT();
  const { bytes_done: done, bytes_total: total, bytes_per_s: rate, eta_s: eta, problem } = transfer;
  if (total === 0) return problem && <p className={styles.note}>{problem}</p>;
  return (
    <span className={styles.transfer}>
      <span className={styles.progress} aria-hidden="true">
        <div style={{ width: `${Math.min(100, (100 * done) / total)}%` }} />
      </span>
      {disk(done)} / {disk(total)}, {disk(rate)}/s
      {eta !== null && `, ${t.service.replicas.left(duration(eta))}`}
      {problem && ` · ${problem}`}
    </span>
  );
}
