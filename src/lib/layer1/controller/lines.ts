// Lines from a producer that does not wait, to a reader that may be slow: bounded, and what is left out is said.

/** Lines that may wait for a slow reader. */
const maxWaiting = 2_000;

/** A queue in front of an asynchronous writer. */
export class LineQueue {
  private readonly waiting: string[] = [];
  private leftOut = 0;
  private running: Promise<void> | undefined;

  constructor(
    private readonly write: (line: string) => Promise<void>,
    private readonly max = maxWaiting,
  ) {}

  /** Takes a line; never waits. */
  push(line: string): void {
    if (this.waiting.length >= this.max) {
      this.leftOut += 1;
      return;
    }
    this.waiting.push(line);
    this.running ??= this.run();
  }

  /** Resolves when everything that was taken is written. */
  async flush(): Promise<void> {
    while (this.running) await this.running;
  }

  private async run(): Promise<void> {
    for (let line = this.waiting.shift(); line !== undefined; line = this.waiting.shift()) {
      await this.write(line);
      if (this.waiting.length === 0 && this.leftOut > 0) {
        this.waiting.push(`[${this.leftOut} lines were left out: they came faster than they were read]`);
        this.leftOut = 0;
      }
    }
    this.running = undefined;
  }
}
