/** Version of the manager, as first seen by this page: when another one answers, the page is of an older one. */

import { useSyncExternalStore } from "react";

let first: string | null = null;
let updated = false;
const listeners = new Set<() => void>();

/** Note the version of a manager that was heard. */
export function noteVersion(version: string): void {
  first ??= version;
  if (version !== first) setUpdated();
}

/** Note that a file of this page is gone, as after an update. */
export function setUpdated(): void {
  updated = true;
  for (const listener of listeners) listener();
}

/** Whether Headrace was updated since the page was opened. */
export function useUpdated(): boolean {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => updated,
  );
}
