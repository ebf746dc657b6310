/** State of the page's connection to changes: live, or polling and why. */

import { useSyncExternalStore } from "react";

export type LiveState = { kind: "live" } | { kind: "polling"; why: "closed" | "silent" | "away" };

let state: LiveState = { kind: "polling", why: "closed" };
const listeners = new Set<() => void>();

export function liveState(): LiveState {
  return state;
}

export function setLiveState(next: LiveState): void {
  if (next.kind === state.kind && (next.kind === "live" || (state.kind === "polling" && next.why === state.why)))
    return;
  state = next;
  for (const listener of listeners) listener();
}

export function useLiveState(): LiveState {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => state,
  );
}
