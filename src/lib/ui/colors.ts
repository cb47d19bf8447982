// Colours for people only: none when the stream is no terminal or NO_COLOR is set.
import { Chalk, type ChalkInstance } from 'chalk';
import type { Terminal } from './terminal.js';

/** A palette for one of the terminal's streams. */
export function colorsFor(terminal: Terminal, stream: 'stdout' | 'stderr'): ChalkInstance {
  const { env } = terminal;
  const plain =
    !terminal.tty[stream] || (env.NO_COLOR !== undefined && env.NO_COLOR !== '') || env.TERM === 'dumb';
  return new Chalk({ level: plain ? 0 : 1 });
}
