// Runs a command in process by argv, against a controller over HTTP, and hands back all that it wrote.
import { Config, type Command } from '@oclif/core';
import { PassThrough, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { HttpClient } from '../../../src/lib/api/http.js';
import type { OpenAccess } from '../../../src/lib/access/open.js';
import { ControllerClient } from '../../../src/lib/access/controller.js';
import type { Terminal } from '../../../src/lib/ui/terminal.js';
import { FlynnCommand } from '../../../src/lib/ui/command.js';

/** What a command left behind. */
export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
  /** How often its way in was opened and closed. */
  opened: number;
  closed: number;
}

/** Surroundings of a run. */
export interface RunOptions {
  /** Base URL of the controller. */
  url?: string;
  env?: Record<string, string>;
  cwd?: string;
  stdin?: string;
  /** Ctrl-C after so many ms. */
  interruptMs?: number;
  openAccess?: OpenAccess;
}

/** Makes a command of a class, with ports of ours. */
type CommandClass = new (argv: string[], config: Config) => Command;

const root = fileURLToPath(new URL('../../..', import.meta.url));
const config = await Config.load({
  root,
  // The sources, not a build that may be old or absent; only the base class's needs are met.
  pjson: { name: 'flynn', version: '0.0.0', oclif: { bin: 'flynn', topicSeparator: ' ' } } as never,
});

function sink(): { stream: Writable; text(): string } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  return { stream, text: () => Buffer.concat(chunks).toString('utf8') };
}

/** Runs one command to its end. */
export async function run(command: CommandClass, argv: string[], options: RunOptions = {}): Promise<Ran> {
  const stdout = sink();
  const stderr = sink();
  const stdin = new PassThrough();
  stdin.end(options.stdin ?? '');
  let code = 0;
  const terminal: Terminal = {
    stdout: stdout.stream,
    stderr: stderr.stream,
    stdin,
    tty: { stdin: false, stdout: false, stderr: false },
    columns: 100,
    env: options.env ?? {},
    cwd: options.cwd ?? '/',
    setExitCode: (value) => {
      code = value;
    },
    onInterrupt: (fn) => {
      if (options.interruptMs === undefined) return () => undefined;
      const timer = setTimeout(fn, options.interruptMs);
      return () => clearTimeout(timer);
    },
  };
  const ran = { opened: 0, closed: 0 };
  const instance = new command(argv, config);
  if (!(instance instanceof FlynnCommand)) throw new TypeError('not one of our commands');
  instance.id = 'test';
  instance.terminal = terminal;
  const openAccess: OpenAccess =
    options.openAccess ??
    (() => {
      ran.opened += 1;
      return Promise.resolve({
        context: { name: 'test', gateways: ['gw.example.test:2222'], fingerprint: 'SHA256:x' },
        controller: new ControllerClient(
          new HttpClient({ baseUrl: options.url ?? 'http://127.0.0.1:9', timeoutMs: 2_000 }),
        ),
        close: () => {
          ran.closed += 1;
          return Promise.resolve();
        },
      });
    });
  Object.assign(instance, { openAccess });
  await (instance as unknown as { _run(): Promise<unknown> })._run();
  return { code, stdout: stdout.text(), stderr: stderr.text(), ...ran };
}
