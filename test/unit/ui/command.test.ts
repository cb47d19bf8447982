// The base of every command: exit codes, errors as text and JSON, closing, and what is said to whom.
import { describe, expect, it } from 'vitest';
import { FlynnError, exitCodes, type ErrorCode } from '../../../src/lib/api/errors.js';
import { FlynnCommand } from '../../../src/lib/ui/command.js';
import { run } from '../commands/harness.js';

const thrower = (make: () => unknown) =>
  class Thrower extends FlynnCommand<{ ok: boolean }> {
    async run() {
      await this.parse(Thrower);
      const thrown = make();
      if (thrown !== undefined) throw thrown;
      return { ok: true };
    }
    protected override render({ ok }: { ok: boolean }): void {
      this.print(`ok ${ok}`);
    }
  };

describe('how a command ends', () => {
  it.each(Object.keys(exitCodes) as ErrorCode[])(
    'given an error %s, when thrown, then its exit code survives, with --json too',
    async (code) => {
      const failing = thrower(() => new FlynnError({ code, message: 'm', hint: 'h' }));
      for (const argv of [[], ['--json']]) expect((await run(failing, argv)).code).toBe(exitCodes[code]);
    },
  );

  it('given a coded error, when thrown, then people see message and hint on stderr, scripts a body on stdout', async () => {
    const failing = thrower(
      () => new FlynnError({ code: 'conflict', message: 'host a is taken', hint: 'flynn hosts' }),
    );
    const text = await run(failing, []);
    expect(text).toMatchObject({ stdout: '', stderr: 'Error: host a is taken\n  → flynn hosts\n' });
    const json = await run(failing, ['--json']);
    expect(JSON.parse(json.stdout)).toEqual({
      code: 'conflict',
      message: 'host a is taken',
      hint: 'flynn hosts',
    });
    expect(json.stderr).toBe('');
  });

  it('given an error of ours, when thrown, then it ends 1, says whose mistake it is, and shows the stack on request', async () => {
    const failing = thrower(() => new TypeError('x is undefined', { cause: new Error('deep') }));
    const plain = await run(failing, []);
    expect(plain.code).toBe(1);
    expect(plain.stderr).toContain('a mistake in Flynn, not yours');
    expect(plain.stderr).not.toContain('at ');
    const debug = await run(failing, [], { env: { FLYNN_DEBUG: '1' } });
    expect(debug.stderr).toContain('caused by: Error: deep');
    expect(JSON.parse((await run(failing, ['--json'])).stdout)).toEqual({
      code: 'internal',
      message: 'x is undefined',
    });
  });

  it('given a prompt that was closed, when thrown, then it ends 130', async () => {
    const closed = Object.assign(new Error('closed'), { name: 'ExitPromptError' });
    expect(
      (
        await run(
          thrower(() => closed),
          [],
        )
      ).code,
    ).toBe(130);
  });

  it.each([0, 3])(
    'given this.exit(%i), when called, then that is the code and nothing is said',
    async (code) => {
      class Ending extends FlynnCommand {
        run(): Promise<void> {
          return Promise.resolve(this.exit(code));
        }
      }
      expect(await run(Ending, [])).toMatchObject({ code, stdout: '', stderr: '' });
      expect(await run(Ending, ['--json'])).toMatchObject({ code, stdout: '', stderr: '' });
    },
  );

  it('given a result, when it ends, then it is text, or one JSON document', async () => {
    expect(
      await run(
        thrower(() => undefined),
        [],
      ),
    ).toMatchObject({ code: 0, stdout: 'ok true\n', stderr: '' });
    expect(
      (
        await run(
          thrower(() => undefined),
          ['--json'],
        )
      ).stdout,
    ).toBe('{\n  "ok": true\n}\n');
  });
});

describe('what is open', () => {
  it('given things to close, when a command fails, then all are closed, the last first, even if one hangs or throws', async () => {
    const order: string[] = [];
    class Closing extends FlynnCommand {
      run(): Promise<void> {
        this.defer(() => void order.push('first'));
        this.defer(() => new Promise<void>(() => undefined));
        this.defer(() => Promise.reject(new Error('broken')));
        this.defer(() => void order.push('last'));
        return Promise.reject(new FlynnError({ code: 'not_found', message: 'x' }));
      }
    }
    const ran = await run(Closing, []);
    expect(order).toEqual(['last', 'first']);
    expect(ran.code).toBe(3);
  });

  it('given Ctrl-C, when calls fail because of it, then it ends 130 whatever they say', async () => {
    class Interrupted extends FlynnCommand {
      async run(): Promise<void> {
        const { signal } = this;
        await new Promise((_resolve, reject) =>
          signal.addEventListener('abort', () => reject(new Error('socket hang up'))),
        );
      }
    }
    const ran = await run(Interrupted, [], { interruptMs: 10 });
    expect(ran).toMatchObject({ code: 130, stderr: 'Error: interrupted\n' });
  });
});

describe('progress', () => {
  class Working extends FlynnCommand {
    async run(): Promise<void> {
      this.report.step('begins');
      await this.report.tasks([
        { title: 'one', run: (task) => Promise.resolve(task.update('half')).then(() => 'fine') },
        { title: 'two', run: () => Promise.reject(new FlynnError({ code: 'failed', message: 'two broke' })) },
        { title: 'three', run: () => Promise.resolve() },
      ]);
    }
  }

  it('given no terminal, when tasks run, then plain lines say so and the first failure ends the list', async () => {
    const ran = await run(Working, []);
    expect(ran.stderr.replace(/\d+\.\d s/, 'N s')).toBe(
      '- begins\n- one\n  one: half\n+ one: fine (N s)\n- two\nx two\nError: two broke\n',
    );
    expect(ran.code).toBe(8);
  });

  it('given --json, when tasks run, then nothing is said and the error keeps its code', async () => {
    const ran = await run(Working, ['--json']);
    expect(ran.stderr).toBe('');
    expect(JSON.parse(ran.stdout)).toMatchObject({ code: 'failed' });
  });
});
