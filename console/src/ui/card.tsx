/** Cards, and what stands in them while there is nothing, an error, or no answer yet. */

import type { ReactNode } from "react";
import { ApiProblem } from "@/api/client";
import { useT } from "@/i18n";
import { Button } from "@/ui/button";
import { Scroller } from "@/ui/scroller";
import styles from "./card.module.css";

type CardProps = { title?: ReactNode; actions?: ReactNode; children: ReactNode; flush?: boolean };

/** A part of a page. `flush`: its content reaches the edges, as tables do. */
export function Card({ title, actions, children, flush }: CardProps) {
  return (
    <section className={styles.card}>
      {title !== undefined && (
        <div className={styles.head}>
          <h2>{title}</h2>
          {actions}
        </div>
      )}
      {flush ? <Scroller className={styles.flush}>{children}</Scroller> : <div className={styles.body}>{children}</div>}
    </section>
  );
}

/** What went wrong, in the API's words, with each wrong field. */
export function ProblemCard({ error, onRetry }: { error: Error; onRetry?: () => void }) {
  const t = useT();
  const problem = error instanceof ApiProblem ? error : null;
  const away = problem?.status === 0;
  return (
    <section className={`${styles.card} ${styles.problem}`} role="alert">
      <div className={styles.body}>
        <h2>{away ? t.error.network : problem?.status === 404 ? t.error.notFound : problem?.title || t.error.title}</h2>
        <p className={styles.detail}>{away ? t.error.networkDetail : error.message || t.error.notFoundDetail}</p>
        {problem && <WrongFields problem={problem} />}
        {problem?.requestId && (
          <p className={styles.quiet}>
            {t.error.request} <code>{problem.requestId}</code>
          </p>
        )}
        {onRetry && (
          <div className={styles.actions}>
            <Button onPress={onRetry}>{t.error.retry}</Button>
          </div>
        )}
      </div>
    </section>
  );
}

function WrongFields({ problem }: { problem: ApiProblem }) {
  const t = useT();
  if (problem.errors.length === 0) return null;
  return (
    <ul>
      {problem.errors.map((wrong) => (
        <li key={`${wrong.field} ${wrong.allowed}`}>
          <code>{wrong.field}</code>
          {wrong.found !== undefined && `: ${t.error.found} ${wrong.found}`}
          {wrong.allowed !== undefined && `; ${t.error.allowed}: ${wrong.allowed}`}
        </li>
      ))}
    </ul>
  );
}

/** One sentence of why there is nothing, and what to do. */
export function Empty({ title, children, action }: { title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <div className={styles.empty}>
      <h2>{title}</h2>
      {children && <p>{children}</p>}
      {action}
    </div>
  );
}

/** Lines of a text that is being read; shown after 200 ms. */
export function Skeleton({ lines = 3 }: { lines?: number }) {
  const t = useT();
  return (
    <div role="status" data-loading="" aria-label={t.common.loading} style={{ display: "grid", gap: 14, padding: 16 }}>
      {Array.from({ length: lines }, (_, line) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: lines have nothing else
        <div key={line} className={styles.skeleton} style={{ width: `${80 - ((line * 17) % 40)}%` }} />
      ))}
    </div>
  );
}
