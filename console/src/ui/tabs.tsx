/** Tabs of a page: links, since each has its own address. */

import type { ReactNode } from "react";
import styles from "./tabs.module.css";

export function Tabs({ label, children }: { label: string; children: ReactNode }) {
  return (
    <nav className={styles.tabs} aria-label={label}>
      {children}
    </nav>
  );
}

/** Class of a tab's link. */
export const tabClass = styles.tab ?? "";
