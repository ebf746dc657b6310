/** Parts that pages are laid out of: stacks, lines, quiet text, facts, bars. */

import type { ReactNode } from "react";
import styles from "./layout.module.css";

export const Stack = ({ children }: { children: ReactNode }) => <div className={styles.stack}>{children}</div>;

export const Line = ({ children }: { children: ReactNode }) => <div className={styles.row}>{children}</div>;

export const Quiet = ({ children }: { children: ReactNode }) => <p className={styles.quiet}>{children}</p>;

export const Note = ({ children }: { children: ReactNode }) => <p className={styles.note}>{children}</p>;

export const Example = ({ text }: { text: string }) => <pre className={styles.example}>{text}</pre>;

/** A name with what it is in a second, quiet line. */
export function Twofold({ first, second }: { first: ReactNode; second: ReactNode }) {
  return (
    <span className={styles.two}>
      <strong>{first}</strong>
      {second && <span className={styles.quiet}>{second}</span>}
    </span>
  );
}

/** Room for a field that needs no more than this. */
export const Narrow = ({ children }: { children: ReactNode }) => <div className={styles.narrow}>{children}</div>;

/** Room for a choice in a table. */
export const InCell = ({ children }: { children: ReactNode }) => <span className={styles.inCell}>{children}</span>;

export const Facts = ({ children }: { children: ReactNode }) => <dl className={styles.facts}>{children}</dl>;

export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div style={{ minWidth: 0 }}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** How much of a limit is used; the numbers stand beside it. */
export function Bar({ used, limit }: { used: number; limit: number }) {
  const share = limit > 0 ? Math.min(1, used / limit) : 1;
  return (
    <div className={styles.bar} data-full={used >= limit || undefined} aria-hidden="true">
      <div style={{ width: `${share * 100}%` }} />
    </div>
  );
}
