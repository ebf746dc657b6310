/** Short confirmations at the bottom of the page. Errors are never told here alone. */

import { useSyncExternalStore } from "react";
import styles from "./toasts.module.css";

type Toast = { id: number; text: string };

const SHOWN_MS = 4_000;
const MOST = 3;
let toasts: readonly Toast[] = [];
let next = 0;
const listeners = new Set<() => void>();

/** Say for four seconds that something was done. */
export function toast(text: string): void {
  const id = next++;
  set([...toasts, { id, text }].slice(-MOST));
  setTimeout(() => set(toasts.filter((one) => one.id !== id)), SHOWN_MS);
}

export function Toasts() {
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
  return (
    <div className={styles.toasts} role="status">
      {shown.map((one) => (
        <div key={one.id} className={styles.toast}>
          {one.text}
        </div>
      ))}
    </div>
  );
}

function set(changed: readonly Toast[]): void {
  toasts = changed;
  for (const listener of listeners) listener();
}
