// Why a build failed, in the builder's own words: its last lines that begin with ` ! ` become the error of the push.

/** A line that may turn out to be the reason, as buildpacks write it; the arrow marks what to type next. */
const complaint = /^ !\s+(→\s*)?(.*\S)\s*$/;
/** More lines than that are no reason but output. */
const mostLines = 10;

/** What a builder said last. */
export interface Reason {
  message?: string;
  hint?: string;
}

/** Passes lines on to the pusher, and keeps those back that may be the reason of a failure: nobody reads them twice. */
export class LastWords {
  private kept: string[] = [];

  constructor(private readonly say: (line: string) => void) {}

  /** Takes the next line. */
  line(text: string): void {
    const complains = complaint.test(text);
    if (!complains || this.kept.length >= mostLines) this.release();
    if (complains) this.kept.push(text);
    else this.say(text);
  }

  /** Passes on what was kept: it was a warning. */
  release(): void {
    for (const line of this.kept.splice(0)) this.say(line);
  }

  /** What was kept, as the reason of a failure; empty when the last line was an ordinary one. */
  reason(): Reason {
    const found = this.kept.flatMap((line) => {
      const match = complaint.exec(line);
      return match ? [{ arrow: match[1] !== undefined, text: match[2] ?? '' }] : [];
    });
    const message = found.filter(({ arrow }) => !arrow).map(({ text }) => text);
    const hint = found.filter(({ arrow }) => arrow).map(({ text }) => text);
    return {
      ...(message.length > 0 ? { message: message.join(' ') } : {}),
      ...(hint.length > 0 ? { hint: hint.join('; ') } : {}),
    };
  }
}
