/** Whether the login has ended while the page was used: then a dialog asks for it anew, and the page stays. */

import { useSyncExternalStore } from "react";

let ended = false;
const listeners = new Set<() => void>();

export function setLoginEnded(value: boolean): void {
  if (ended === value) return;
  ended = value;
  for (const listener of listeners) listener();
}

export function useLoginEnded(): boolean {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => ended,
  );
}
