// The lab's events as lines of progress, for whatever takes lines.
import type { LabReport } from './types.js';

/** What takes lines of progress: something goes on, is finished, or should be known. */
export interface LineSink {
  step(text: string): void;
  done(text: string): void;
  warn(text: string): void;
}

/** A report that hands each event's message to `sink`. */
export const linesTo =
  (sink: LineSink): LabReport =>
  ({ code, message }) => {
    if (code === 'lab.warning') sink.warn(message);
    else if (code.endsWith('.ready')) sink.done(message);
    else sink.step(message);
  };
