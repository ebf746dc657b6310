/** Files to be uploaded, three at a time, each continued where it was broken off. Each change costs the same, however many wait. */

export type UploadFile = { path: string; file: File };

/** What the queue has and has done. `failed`: the first of those that failed. */
export type UploadSummary = {
  files: number;
  bytes: number;
  done: number;
  sent: number;
  failures: number;
  failed: readonly { path: string; error: string }[];
  sending: string | null;
  paused: boolean;
};

/** Sends one file; `sent` is called with the bytes that are there. Rejects with why. */
export type Send = (file: UploadFile, sent: (bytes: number) => void, signal: AbortSignal) => Promise<void>;

export const MOST_FILES = 10_000;
export const FAILED_SHOWN = 20;
const SENDERS = 3;
const NOTHING: UploadSummary = {
  files: 0,
  bytes: 0,
  done: 0,
  sent: 0,
  failures: 0,
  failed: [],
  sending: null,
  paused: false,
};

/** Queue of uploads into one folder. */
export class UploadQueue {
  private waiting: UploadFile[] = [];
  private next = 0;
  private again: UploadFile[] = [];
  private readonly active = new Map<UploadFile, number>();
  private stop = new AbortController();
  private now = NOTHING;
  private readonly listeners = new Set<() => void>();

  constructor(private readonly send: Send) {}

  /** The same object until something changes. */
  readonly summary = (): UploadSummary => this.now;

  readonly onChange = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Add files; those over the limit are not taken. Returns how many were. */
  add(files: readonly UploadFile[]): number {
    const taken = files.slice(0, Math.max(0, MOST_FILES - this.now.files));
    const bytes = taken.reduce((sum, { file }) => sum + file.size, 0);
    this.waiting.push(...taken);
    this.set({ files: this.now.files + taken.length, bytes: this.now.bytes + bytes });
    if (!this.now.paused) this.start();
    return taken.length;
  }

  /** Stop sending; what was sent stays there. */
  pause(): void {
    this.set({ paused: true });
    this.stop.abort();
    this.stop = new AbortController();
  }

  /** Go on with what is paused, and try again what failed. */
  resume(): void {
    this.waiting.push(...this.again);
    this.again = [];
    this.set({ paused: false, failures: 0, failed: [] });
    this.start();
  }

  private start(): void {
    while (this.active.size < SENDERS && this.next < this.waiting.length) void this.one(this.waiting[this.next++]);
  }

  private async one(file: UploadFile | undefined): Promise<void> {
    if (!file) return;
    const { signal } = this.stop;
    this.active.set(file, 0);
    this.set({ sending: file.path });
    try {
      await this.send(file, (bytes) => this.sent(file, bytes), signal);
      this.sent(file, file.file.size);
      this.active.delete(file);
      this.set({ done: this.now.done + 1 });
    } catch (error) {
      this.sent(file, 0);
      this.active.delete(file);
      if (signal.aborted) this.waiting.push(file);
      else this.failed(file, error instanceof Error ? error.message : String(error));
    }
    if (this.active.size === 0) this.set({ sending: null });
    if (!this.now.paused) this.start();
  }

  private sent(file: UploadFile, bytes: number): void {
    const before = this.active.get(file);
    if (before === undefined) return; // told after it has ended
    this.active.set(file, bytes);
    this.set({ sent: this.now.sent + bytes - before });
  }

  private failed(file: UploadFile, error: string): void {
    this.again.push(file);
    const shown =
      this.now.failed.length < FAILED_SHOWN ? [...this.now.failed, { path: file.path, error }] : this.now.failed;
    this.set({ failures: this.now.failures + 1, failed: shown });
  }

  private set(changed: Partial<UploadSummary>): void {
    this.now = { ...this.now, ...changed };
    for (const listener of this.listeners) listener();
  }
}
