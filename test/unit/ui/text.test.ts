// Tables, durations, the live task list, questions, and lines about changes.
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { AppState, JobLine } from '../../../src/lib/api/app.js';
import { FlynnError } from '../../../src/lib/api/errors.js';
import { colorsFor } from '../../../src/lib/ui/colors.js';
import { describeScale, isServing, missing, transitions } from '../../../src/lib/ui/progress.js';
import { confirm, confirmOrStop } from '../../../src/lib/ui/prompt.js';
import { createReporter, seconds } from '../../../src/lib/ui/report.js';
import { ago, pairs, table } from '../../../src/lib/ui/table.js';
import type { Terminal } from '../../../src/lib/ui/terminal.js';

function terminalWith(
  tty: boolean,
  env: Record<string, string> = {},
): Terminal & { said(): string; stdin: PassThrough } {
  const stderr = Object.assign(new PassThrough(), { columns: 80, rows: 24, isTTY: tty });
  const chunks: Buffer[] = [];
  stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
  return {
    stdout: new PassThrough(),
    stderr,
    stdin: new PassThrough(),
    tty: { stdin: tty, stdout: tty, stderr: tty },
    columns: 80,
    env,
    cwd: '/',
    setExitCode: () => undefined,
    onInterrupt: () => () => undefined,
    said: () => Buffer.concat(chunks).toString(),
  };
}

describe('tables', () => {
  it('given rows with colours, when laid out, then columns align by what is seen', () => {
    const red = `\u001b[31mred\u001b[39m`;
    const lines = table(
      [
        { a: red, b: 1 },
        { a: 'plain', b: 100 },
      ],
      [
        { title: 'name', value: (row) => row.a },
        { title: 'n', value: (row) => row.b, right: true },
      ],
    );
    expect(lines).toEqual(['NAME     N', `${red}      1`, 'plain  100']);
    expect(table([], [{ title: 'x', value: () => 1 }])).toEqual([]);
  });

  it('given pairs, when laid out, then those without a value are left out', () => {
    expect(
      pairs([
        ['a', 1],
        ['long', undefined],
        ['bb', 'x'],
      ]),
    ).toEqual(['a   1', 'bb  x']);
  });

  it.each([
    [0, '0s'],
    [59_000, '59s'],
    [60_000, '1m'],
    [3_600_000, '1h'],
    [90_000_000, '1d'],
    [-5, '0s'],
  ])('given %i ms, when said, then it is %s ago', (ms, text) => {
    expect(ago(0, ms)).toBe(text);
  });

  it.each([
    [0, '0.0 s'],
    [12_345, '12.3 s'],
    [125_000, '2 m 05 s'],
  ])('given %i ms, when timed, then it is %s', (ms, text) => {
    expect(seconds(ms)).toBe(text);
  });
});

describe('colours', () => {
  it('given a pipe, NO_COLOR or a dumb terminal, when painted, then nothing is', () => {
    expect(colorsFor(terminalWith(false), 'stdout').red('x')).toBe('x');
    expect(colorsFor(terminalWith(true, { NO_COLOR: '1' }), 'stdout').red('x')).toBe('x');
    expect(colorsFor(terminalWith(true, { TERM: 'dumb' }), 'stdout').red('x')).toBe('x');
    expect(colorsFor(terminalWith(true), 'stdout').red('x')).not.toBe('x');
  });
});

describe('the live task list', () => {
  it('given a terminal, when tasks run at once and one fails, then the others finish, it is drawn on stderr, and the failure is thrown', async () => {
    const terminal = terminalWith(true);
    const finished: string[] = [];
    const report = createReporter(terminal, { silent: false });
    const failing = report.tasks(
      [
        {
          title: 'good one',
          run: async (task) => {
            task.update('working');
            await new Promise((resolve) => setTimeout(resolve, 30));
            finished.push('good');
            return 'came up';
          },
        },
        { title: 'bad one', run: () => Promise.reject(new FlynnError({ code: 'failed', message: 'no' })) },
      ],
      { concurrent: true },
    );
    await expect(failing).rejects.toMatchObject({ code: 'failed' });
    expect(finished).toEqual(['good']);
    expect(terminal.said()).toContain('good one: came up');
    expect(terminal.said()).toContain('bad one');
    expect((terminal.stdout as PassThrough).read()).toBeNull();
  });

  it('given one after the other, when the first fails, then the second never starts', async () => {
    const started: string[] = [];
    const report = createReporter(terminalWith(true), { silent: false });
    const failing = report.tasks([
      { title: 'a', run: () => Promise.reject(new FlynnError({ code: 'conflict', message: 'no' })) },
      { title: 'b', run: () => Promise.resolve(void started.push('b')) },
    ]);
    await expect(failing).rejects.toMatchObject({ code: 'conflict' });
    expect(started).toEqual([]);
  });
});

describe('questions', () => {
  it('given nobody who can answer, when asked, then it is refused, naming --yes; with --yes it is not asked', async () => {
    for (const terminal of [terminalWith(false), terminalWith(true, { CI: 'true' })]) {
      await expect(confirm({ terminal }, 'really?')).rejects.toMatchObject({
        code: 'usage',
        hint: 'run it again with --yes',
      });
    }
    expect(await confirm({ terminal: terminalWith(false), yes: true }, 'really?')).toBe(true);
  });

  it.each([
    ['y\r', true],
    ['n\r', false],
    ['\r', false],
  ])('given a person who types %j, when asked, then the answer is %s', async (keys, answer) => {
    const terminal = terminalWith(true);
    const asked = confirm({ terminal }, 'really?');
    await expect.poll(() => terminal.said()).toContain('really?');
    terminal.stdin.write(keys);
    expect(await asked).toBe(answer);
  });

  it('given a no, when an action must be confirmed, then it ends as interrupted', async () => {
    const terminal = terminalWith(true);
    const asked = confirmOrStop({ terminal }, 'really?');
    asked.catch(() => undefined);
    await expect.poll(() => terminal.said()).toContain('really?');
    terminal.stdin.write('n\r');
    await expect(asked).rejects.toMatchObject({ code: 'interrupted' });
  });

  it('given a signal that is aborted, when asked, then the question is taken back', async () => {
    const terminal = terminalWith(true);
    const abort = new AbortController();
    const asked = confirm({ terminal, signal: abort.signal }, 'really?');
    asked.catch(() => undefined);
    await expect.poll(() => terminal.said()).toContain('really?');
    abort.abort();
    await expect(asked).rejects.toThrow();
  });
});

describe('lines about changes', () => {
  const job = (id: string, state: JobLine['state'], extra: Partial<JobLine> = {}): JobLine => ({
    id,
    name: `web.${id}`,
    type: 'web',
    release: 1,
    host: 'a',
    state,
    since: 0,
    starts: 1,
    ...extra,
  });
  const state = (jobs: JobLine[], extra: Partial<AppState> = {}): AppState => ({
    app: { name: 'x', id: 'i', createdAt: 0, lastRelease: 1, strategy: 'all-at-once', deployTimeoutMs: 1 },
    formation: { web: jobs.length },
    jobs,
    converged: true,
    settled: true,
    ...extra,
  });

  it('given a first state, when said, then what is settled is silent and what is not is told', () => {
    const lines = transitions(
      undefined,
      state([job('1', 'serving'), job('2', 'crashed', { reason: 'exit 1' })]),
      0,
    );
    expect(lines).toEqual(['00:00:00.000  web.2    crashed   on a  (v1)  exit 1']);
  });

  it('given two states, when compared, then new, changed and gone jobs have one line each, equal ones none', () => {
    const before = state([job('1', 'serving'), job('2', 'starting'), job('3', 'serving')]);
    const after = state([job('1', 'serving'), job('2', 'serving'), job('4', 'pending')], {
      problem: 'no capacity',
    });
    expect(transitions(before, after, 1500)).toEqual([
      '00:00:01.500  web.2    serving   on a  (v1)',
      '00:00:01.500  web.4    pending   on a  (v1)',
      '00:00:01.500  web.3    gone      on a  (v1)',
      '00:00:01.500  no capacity',
    ]);
    expect(transitions(after, after, 0)).toEqual([]);
  });

  it('given a restart, when only the number of starts differs, then it is told', () => {
    expect(
      transitions(state([job('1', 'starting')]), state([job('1', 'starting', { starts: 2 })]), 0),
    ).toHaveLength(1);
  });

  it('given numbers, when described, then only the types that differ are named', () => {
    expect(describeScale({ web: 1, worker: 2 }, { web: 3, worker: 2, cron: 1 })).toBe(
      'cron: 0=>1, web: 1=>3',
    );
  });

  it('given an old state that had converged, when other numbers are wanted, then it does not count', () => {
    const old = state([job('1', 'serving')]);
    expect(isServing(old, { web: 3 })).toBe(false);
    expect(isServing(old, { web: 1 })).toBe(true);
    expect(missing(old, { web: 3 })).toBe('web has 1 of 3 serving');
  });
});
