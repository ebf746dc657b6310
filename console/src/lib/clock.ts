/** Clock of the page: the time once a second, as the server has it; a wrong clock of the browser does not matter. */

import { useSyncExternalStore } from "react";

const MOST_SKEW_MS = 2_000;
let skewMs = 0;
let now = Date.now();
let timer: ReturnType<typeof setInterval> | null = null;
const listeners = new Set<() => void>();

/** Learn the server's time from the `Date` field of an answer. */
export function learnTime(date: string | null): void {
  const at = date === null ? Number.NaN : Date.parse(date);
  if (Number.isNaN(at)) return;
  const found = at - Date.now();
  if (Math.abs(found - skewMs) > MOST_SKEW_MS) skewMs = Math.abs(found) > MOST_SKEW_MS ? found : 0;
}

/** Return the server's time now, in milliseconds. */
export function serverNow(): number {
  return Date.now() + skewMs;
}

/** Return the time, and render again each second while the page is visible. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  now = serverNow();
  timer ??= setInterval(tick, 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0 && timer !== null) {
      clearInterval(timer);
      timer = null;
    }
  };
}

function tick(): void {
  if (document.visibilityState !== "visible") return;
  now = serverNow();
  for (const listener of listeners) listener();
}
