/** A log that is followed: read on where a break was, and held while it is paused. */

import { useEffect, useRef, useState } from "react";
import { ApiProblem, lines } from "@/api/client";
import { logsUrl } from "@/api/logs";
import { type LogLine, LogLines } from "@/lib/log-lines";

const TAIL = 2000;
const PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;

export type FollowedLog = { lines: readonly LogLine[]; dropped: number; error: Error | null; waiting: number };

/** Follow the log of a service, or of one replica, while `shown`; what comes meanwhile is counted in `waiting`. */
export function useLog(service: string, replica: string | undefined, shown: boolean): FollowedLog {
  const [seen, setSeen] = useState<FollowedLog>({ lines: [], dropped: 0, error: null, waiting: 0 });
  const paused = useRef(!shown);
  paused.current = !shown;
  const log = useRef(new LogLines());
  useEffect(() => {
    const stop = new AbortController();
    const buffer = new LogLines();
    log.current = buffer;
    let frame = 0;
    const show = (error: Error | null) => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() =>
        setSeen((before) =>
          paused.current
            ? { ...before, error, waiting: buffer.all.length + buffer.dropped - before.lines.length - before.dropped }
            : { lines: buffer.all, dropped: buffer.dropped, error, waiting: 0 },
        ),
      );
    };
    show(null);
    void follow(service, replica, buffer, stop.signal, show);
    return () => {
      stop.abort();
      cancelAnimationFrame(frame);
    };
  }, [service, replica]);
  useEffect(() => {
    if (shown) setSeen((before) => ({ ...before, lines: log.current.all, dropped: log.current.dropped, waiting: 0 }));
  }, [shown]);
  return seen;
}

async function follow(
  service: string,
  replica: string | undefined,
  log: LogLines,
  signal: AbortSignal,
  show: (error: Error | null) => void,
): Promise<void> {
  let pause = PAUSE_MS;
  while (!signal.aborted) {
    const since = log.last;
    try {
      for await (const found of lines(
        logsUrl(service, { replica, since, follow: true, ...(since ? {} : { tail: TAIL }) }),
        signal,
      )) {
        log.add(since === log.last ? found.filter((line) => !line.startsWith(`${since} `)) : found);
        pause = PAUSE_MS;
        show(null);
      }
      if (replica) return; // the replica has ended, and with it its log
    } catch (error) {
      if (signal.aborted) return;
      show(error as Error);
      if (error instanceof ApiProblem && (error.status === 404 || error.status === 403 || error.status === 401)) return;
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
  }
}
