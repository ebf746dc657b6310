/** Files to be uploaded, one after the other, each continued where it was broken off. */

export type UploadFile = { path: string; file: File };
export type UploadState = "waiting" | "sending" | "paused" | "done" | "failed";
export type UploadItem = { path: string; size: number; sent: number; state: UploadState; error: string };

/** Sends one file; `sent` is called with the bytes that are there. Rejects with why. */
export type Send = (file: UploadFile, sent: (bytes: number) => void, signal: AbortSignal) => Promise<void>;

export const MOST_FILES = 10_000;
const SENDERS = 3;

/** Queue of uploads into one folder. */
export class UploadQueue {
  private files: UploadFile[] = [];
  private list: readonly UploadItem[] = [];
  private running = 0;
  private stop = new AbortController();
  private readonly listeners = new Set<() => void>();

  constructor(private readonly send: Send) {}

  readonly items = (): readonly UploadItem[] => this.list;

  readonly onChange = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Add files; those over the limit are not taken. Returns how many were. */
  add(files: readonly UploadFile[]): number {
    const taken = files.slice(0, Math.max(0, MOST_FILES - this.files.length));
    this.files = this.files.concat(taken);
    this.set(
      this.list.concat(
        taken.map(({ path, file }) => ({ path, size: file.size, sent: 0, state: "waiting" as const, error: "" })),
      ),
    );
    this.resume();
    return taken.length;
  }

  /** Stop sending; what was sent stays there. */
  pause(): void {
    this.stop.abort();
    this.stop = new AbortController();
    this.set(
      this.list.map((item) =>
        item.state === "sending" || item.state === "waiting" ? { ...item, state: "paused" } : item,
      ),
    );
  }

  /** Go on with what is paused, and try again what failed. */
  resume(): void {
    this.set(
      this.list.map((item) =>
        item.state === "paused" || item.state === "failed" ? { ...item, state: "waiting", error: "" } : item,
      ),
    );
    while (this.running < SENDERS && this.list.some((item) => item.state === "waiting")) void this.work();
  }

  private async work(): Promise<void> {
    this.running += 1;
    const signal = this.stop.signal;
    try {
      for (;;) {
        const index = signal.aborted ? -1 : this.list.findIndex((item) => item.state === "waiting");
        const file = this.files[index];
        if (!file) return;
        this.change(index, { state: "sending" });
        try {
          await this.send(file, (sent) => this.change(index, { sent }), signal);
          this.change(index, { state: "done", sent: file.file.size });
        } catch (error) {
          if (signal.aborted) return;
          this.change(index, { state: "failed", error: error instanceof Error ? error.message : String(error) });
        }
      }
    } finally {
      this.running -= 1;
    }
  }

  private change(index: number, changed: Partial<UploadItem>): void {
    const item = this.list[index];
    if (item) this.set(this.list.with(index, { ...item, ...changed }));
  }

  private set(list: readonly UploadItem[]): void {
    this.list = list;
    for (const listener of this.listeners) listener();
  }
}
