/** Values gathered and given on together: the first at once, the others at most once in a while. */

export class Batched<T> {
  private readonly waiting = new Set<T>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly everyMs: number,
    private readonly give: (values: T[]) => void,
  ) {}

  add(value: T): void {
    this.waiting.add(value);
    if (this.timer === undefined) this.flush();
  }

  private flush(): void {
    if (this.waiting.size === 0) {
      this.timer = undefined;
      return;
    }
    const values = [...this.waiting];
    this.waiting.clear();
    this.timer = setTimeout(() => this.flush(), this.everyMs);
    this.give(values);
  }
}
