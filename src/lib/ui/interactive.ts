// The part of a terminal that a remote program needs: raw keys, its size, and the signals that are meant for it.

/** Signals that are passed on instead of ending us. */
export const forwardedSignals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
export type ForwardedSignal = (typeof forwardedSignals)[number];

/** Characters of a terminal. */
export interface TerminalSize {
  columns: number;
  rows: number;
}

/** A terminal that is handed over to another program. */
export interface Interactive {
  /** Passes keys on as they are (Ctrl-C too) or hands them back to the terminal; does nothing without a terminal. */
  raw(on: boolean): void;
  /** Size of the terminal; undefined when stdout is none. */
  size(): TerminalSize | undefined;
  /** Calls `fn` on every change of the size. Returns the undo. */
  onResize(fn: () => void): () => void;
  /** Calls `fn` with every signal that would end us, which it then does not. Returns the undo. */
  onSignal(fn: (signal: ForwardedSignal) => void): () => void;
}

/** The terminal of this process. */
export function systemInteractive(): Interactive {
  const { stdin, stdout } = process;
  return {
    raw: (on) => {
      if (stdin.isTTY) stdin.setRawMode(on);
    },
    size: () => {
      const { columns, rows } = stdout;
      // A terminal that nobody has given a size yet (serial lines, some CI systems) says 0.
      return stdout.isTTY && columns > 0 && rows > 0 ? { columns, rows } : undefined;
    },
    onResize: (fn) => {
      stdout.on('resize', fn);
      return () => stdout.off('resize', fn);
    },
    onSignal: (fn) => {
      const undo = forwardedSignals.map((signal) => {
        const listener = (): void => fn(signal);
        process.on(signal, listener);
        return () => process.off(signal, listener);
      });
      return () => undo.forEach((each) => each());
    },
  };
}
