/** Changes as they happen: one event stream for all tabs of a browser, held by one of them; polling without it.
 *
 * The stream says what changed, and what is shown of it is read again. The tab that holds the lock has the stream and tells
 * the others; a tab that is hidden for a minute gives both away, and with the last tab hidden there is no stream. Where it
 * cannot be had, all that is shown is read again every 10 s, and the badge says why.
 */

import type { QueryClient } from "@tanstack/react-query";
import { keysOf } from "@/app/live-keys";
import { type LiveState, setLiveState } from "@/app/live-state";
import { noteVersion } from "@/app/version";
import { Batched } from "@/lib/batched";

const CHANNEL = "headrace-live";
const SILENT_MS = 40_000;
const HIDDEN_MS = 60_000;
const POLL_MS = 10_000;
const RETRY_MS = 5_000;
const READ_AGAIN_MS = 1_000;

type Change = { kind: string; id: string; project: string | null };
type Told =
  | { type: "change"; change: Change }
  | { type: "all" }
  | { type: "state"; state: LiveState; last: string }
  | { type: "hello" };

/** Follow changes for as long as the page is open. */
export function startLive(queries: QueryClient): void {
  started ??= new Live(queries);
  started.start();
}

let started: Live | null = null;

class Live {
  private readonly channel = new BroadcastChannel(CHANNEL);
  private readonly changed: Batched<string>;
  private source: EventSource | null = null;
  private running = false;
  private last = "";
  private silent: ReturnType<typeof setTimeout> | undefined;
  private hidden: ReturnType<typeof setTimeout> | undefined;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private release: (() => void) | null = null;
  private waiting: AbortController | null = null;
  private state: LiveState = { kind: "polling", why: "closed" };

  constructor(private readonly queries: QueryClient) {
    this.changed = new Batched(READ_AGAIN_MS, (keys) => {
      for (const key of keys) void this.queries.invalidateQueries({ queryKey: JSON.parse(key) });
    });
  }

  start(): void {
    if (this.running) return;
    this.running = true;
    this.channel.onmessage = (event: MessageEvent<Told>) => this.told(event.data);
    document.addEventListener("visibilitychange", () => this.visibility());
    setInterval(() => this.poll(), POLL_MS);
    this.channel.postMessage({ type: "hello" } satisfies Told);
    this.visibility();
  }

  private visibility(): void {
    clearTimeout(this.hidden);
    if (document.visibilityState === "visible") this.compete();
    else this.hidden = setTimeout(() => this.rest(), HIDDEN_MS);
  }

  /** Wait for the lock; who has it holds the stream. */
  private compete(): void {
    if (this.release || this.waiting) return;
    const waiting = new AbortController();
    this.waiting = waiting;
    navigator.locks
      .request(CHANNEL, { signal: waiting.signal }, () => {
        this.waiting = null;
        return new Promise<void>((resolve) => {
          this.release = resolve;
          this.open();
        });
      })
      .catch(() => {});
  }

  private rest(): void {
    this.waiting?.abort();
    this.waiting = null;
    this.close();
    this.release?.();
    this.release = null;
  }

  private open(): void {
    this.close();
    const since = this.last ? `?since=${encodeURIComponent(this.last)}` : "";
    const source = new EventSource(`/v1/events${since}`);
    this.source = source;
    source.onopen = () => this.heard();
    source.addEventListener("ready", (event) => {
      this.remember(event);
      noteVersion((JSON.parse((event as MessageEvent<string>).data) as { version: string }).version);
      this.tell({ kind: "live" });
    });
    source.addEventListener("reset", (event) => {
      this.remember(event);
      this.tell({ kind: "live" });
      this.readAll();
      this.channel.postMessage({ type: "all" } satisfies Told);
    });
    source.addEventListener("change", (event) => {
      this.remember(event);
      const change = JSON.parse((event as MessageEvent<string>).data) as Change;
      this.apply(change);
      this.channel.postMessage({ type: "change", change } satisfies Told);
    });
    source.addEventListener("alive", (event) => this.remember(event));
    source.addEventListener("end", () => {
      this.tell({ kind: "polling", why: "closed" }); // why is what the next request is refused with
      this.later();
      this.readAll();
    });
    source.onerror = () => {
      this.tell({ kind: "polling", why: "closed" });
      if (source.readyState === EventSource.CLOSED) this.later();
    };
    this.heard();
  }

  private later(): void {
    this.close();
    this.retry = setTimeout(() => this.release && this.open(), RETRY_MS);
  }

  private close(): void {
    clearTimeout(this.silent);
    clearTimeout(this.retry);
    this.source?.close();
    this.source = null;
  }

  private remember(event: Event): void {
    this.last = (event as MessageEvent<string>).lastEventId || this.last;
    this.heard();
  }

  private heard(): void {
    clearTimeout(this.silent);
    this.silent = setTimeout(() => {
      this.tell({ kind: "polling", why: "silent" });
      this.later();
    }, SILENT_MS);
  }

  private told(told: Told): void {
    if (told.type === "change") this.apply(told.change);
    else if (told.type === "all") this.readAll();
    else if (told.type === "hello") {
      if (this.release) this.channel.postMessage({ type: "state", state: this.state, last: this.last } satisfies Told);
    } else {
      this.last = told.last;
      setLiveState(told.state);
      this.state = told.state;
    }
  }

  private tell(state: LiveState): void {
    if (state.kind === "live" && this.state.kind !== "live") this.readAll();
    this.state = state;
    setLiveState(state);
    this.channel.postMessage({ type: "state", state, last: this.last } satisfies Told);
  }

  private apply(change: Change): void {
    for (const key of keysOf(change)) this.changed.add(JSON.stringify(key));
  }

  private readAll(): void {
    void this.queries.invalidateQueries();
  }

  private poll(): void {
    if (this.state.kind === "polling" && document.visibilityState === "visible") this.readAll();
  }
}
