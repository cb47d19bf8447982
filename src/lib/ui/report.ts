// Progress of an action, as text on stderr: live on a terminal, plain lines in CI, nothing under --json.
import { colorsFor } from './colors.js';
import type { Terminal } from './terminal.js';

/** What a running task may say about itself. */
export interface TaskHandle {
  /** The latest thing it did; shown beside its title. */
  update(text: string): void;
}

/** One line of a task list. */
export interface TaskItem {
  title: string;
  /** Does the work; the text it returns, if any, is shown beside the title. */
  run(task: TaskHandle): Promise<string | void>;
}

/** Where actions say what they do. Results never go here. */
export interface Reporter {
  /** Something begins or goes on. */
  step(text: string): void;
  /** A line as it is: one event of many, a line of a container's output. */
  line(text: string): void;
  /** Something is finished. */
  done(text: string): void;
  /** Something that the person should know and that stops nothing. */
  warn(text: string): void;
  /**
   * Carries out a list of tasks, one after the other or all at once. Throws the first error; one at a time ends
   * at it, all at once lets the others finish.
   */
  tasks(items: readonly TaskItem[], options?: { concurrent?: boolean }): Promise<void>;
}

/** Says nothing; still carries out tasks. */
const silentReporter: Reporter = {
  step: () => undefined,
  line: () => undefined,
  done: () => undefined,
  warn: () => undefined,
  tasks: (items, options) =>
    carryOut(items, options?.concurrent ?? false, () => ({ update: () => undefined })),
};

/** The reporter that suits the terminal; `silent` under --json. */
export function createReporter(terminal: Terminal, options: { silent: boolean }): Reporter {
  if (options.silent) return silentReporter;
  return terminal.tty.stderr && !terminal.env.CI ? liveReporter(terminal) : plainReporter(terminal);
}

function plainReporter(terminal: Terminal): Reporter {
  const line = (text: string): void => void terminal.stderr.write(`${text}\n`);
  return {
    step: (text) => line(`- ${text}`),
    line,
    done: (text) => line(`+ ${text}`),
    warn: (text) => line(`! ${text}`),
    tasks: (items, options) =>
      carryOut(items, options?.concurrent ?? false, (item) => {
        const start = performance.now();
        line(`- ${item.title}`);
        return {
          update: (text) => line(`  ${item.title}: ${text}`),
          end: (text) =>
            line(`+ ${item.title}${text ? `: ${text}` : ''} (${seconds(performance.now() - start)})`),
          fail: () => line(`x ${item.title}`),
        };
      }),
  };
}

function liveReporter(terminal: Terminal): Reporter {
  const paint = colorsFor(terminal, 'stderr');
  const line = (text: string): void => void terminal.stderr.write(`${text}\n`);
  return {
    step: (text) => line(`${paint.cyan('→')} ${text}`),
    line,
    done: (text) => line(`${paint.green('✓')} ${text}`),
    warn: (text) => line(`${paint.yellow('!')} ${text}`),
    tasks: (items, options) => listTasks(items, options?.concurrent ?? false, terminal),
  };
}

interface Watched extends TaskHandle {
  end?(text: string | void): void;
  fail?(): void;
}

async function carryOut(
  items: readonly TaskItem[],
  concurrent: boolean,
  watch: (item: TaskItem) => Watched,
): Promise<void> {
  const one = async (item: TaskItem): Promise<void> => {
    const watched = watch(item);
    try {
      // Not inside the optional call: without an `end`, its argument would never be evaluated.
      const text = await item.run(watched);
      watched.end?.(text);
    } catch (error) {
      watched.fail?.();
      throw error;
    }
  };
  if (!concurrent) {
    for (const item of items) await one(item);
    return;
  }
  const results = await Promise.allSettled(items.map(one));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

async function listTasks(items: readonly TaskItem[], concurrent: boolean, terminal: Terminal): Promise<void> {
  const { DefaultRenderer, Listr, ListrLogger, ProcessOutput } = await import('listr2');
  const failures: unknown[] = [];
  // The result alone goes to stdout: the list is drawn on stderr, which listr would use for nothing of its own.
  const stderr = terminal.stderr as NodeJS.WriteStream;
  const logger = new ListrLogger({
    useIcons: true,
    toStderr: [],
    processOutput: new ProcessOutput(stderr, stderr),
  });
  // listr asks whether stdout is a terminal, which may be a file while a person watches stderr.
  class LiveRenderer extends DefaultRenderer {
    static override nonTTY = true;
  }
  const list = new Listr(
    items.map((item) => ({
      title: item.title,
      task: async (_context: unknown, task: { title: string; output: string }) => {
        try {
          const text = await item.run({ update: (line) => (task.output = line) });
          if (text) task.title = `${item.title}: ${text}`;
        } catch (error) {
          failures.push(error);
          throw error;
        }
      },
    })),
    {
      concurrent,
      // Ours to decide: listr would tick a list whose task failed, so the first failure is thrown below.
      exitOnError: !concurrent,
      registerSignalListeners: false,
      renderer: LiveRenderer,
      rendererOptions: { logger, collapseErrors: true, showErrorMessage: false },
    },
  );
  try {
    await list.run();
  } catch (error) {
    throw failures[0] ?? error;
  }
  if (failures.length > 0) throw failures[0];
}

/** A duration for people: `0.4 s`, `12.3 s`, `2 m 05 s`. */
export function seconds(ms: number): string {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const whole = Math.round(ms / 1000);
  return `${Math.floor(whole / 60)} m ${String(whole % 60).padStart(2, '0')} s`;
}
