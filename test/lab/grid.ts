// What the lab tests share: the command line as a child process, the hosts, and a look inside them.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { labEnv, labExec, type LabHost } from '../../src/lib/lab/index.js';

export const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
export const labName = 'test';

export interface Finished {
  code: number;
  stdout: string;
  stderr: string;
}

/** The lab's hosts as they were written down. */
export function hosts(): LabHost[] {
  return JSON.parse(readFileSync(join(root, '.lab', labName, 'hosts.json'), 'utf8')) as LabHost[];
}

export interface CliOptions {
  cwd?: string;
  input?: string;
  env?: Record<string, string>;
  timeoutMs?: number;
  /** Shows the command's stderr as it comes. */
  echo?: boolean;
}

/** Runs `flynn ARGS` in the environment of the lab's cluster; the result whatever the exit code. */
export function run(args: string[], options: CliOptions = {}): Promise<Finished> {
  return command(process.execPath, [join(root, 'bin/run.js'), ...args], options);
}

/** Runs any program in the same environment. */
export function command(file: string, args: string[], options: CliOptions = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      cwd: options.cwd ?? root,
      env: { ...process.env, ...labEnv({ root, name: labName }), NO_COLOR: '1', CI: '1', ...options.env },
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout!.on('data', (chunk: Buffer) => (stdout += chunk.toString('utf8')));
    child.stderr!.on('data', (chunk: Buffer) => {
      stderr += chunk.toString('utf8');
      if (options.echo) process.stderr.write(chunk);
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 120_000);
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? 137, stdout, stderr });
    });
    if (options.input !== undefined) child.stdin!.end(options.input);
  });
}

/** Runs `flynn ARGS` and fails, showing what it said, when it does not end with 0. */
export async function cli(args: string[], options: CliOptions = {}): Promise<string> {
  const done = await run(args, options);
  if (done.code !== 0)
    throw new Error(`flynn ${args.join(' ')} ended with ${done.code}\n${done.stdout}${done.stderr}`);
  return done.stdout;
}

/** Runs `flynn ARGS --json` and returns the document. */
export async function cliJson<T>(args: string[], options: CliOptions = {}): Promise<T> {
  return JSON.parse(await cli([...args, '--json'], options)) as T;
}

export interface Answer {
  status: number;
  body: string;
  json?: { instance: string; host: string; release: number; pid: number; greeting?: string };
}

/** One request from outside, through the router of one host, as curl would make it. */
export function ask(host: LabHost, domain: string, path = '/'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const req = request(
      new URL(path, host.http),
      { headers: { host: domain }, agent: false, timeout: 10_000 },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (body += chunk));
        response.once('end', () => {
          const status = response.statusCode ?? 0;
          const isJson = status === 200 && body.startsWith('{');
          resolve({ status, body, ...(isJson ? { json: JSON.parse(body) as Answer['json'] } : {}) });
        });
      },
    );
    req.once('timeout', () => req.destroy(new Error('no answer within 10 s')));
    req.once('error', reject);
    req.end();
  });
}

/** Containers of an app's jobs that run inside a host, by job id, as its own Docker tells. */
export async function runningJobs(host: string, app: string): Promise<string[]> {
  const args = [
    'docker',
    'ps',
    '--filter',
    'label=flynn.job',
    '--format',
    '{{.Label "flynn.job"}} {{.Label "flynn.owner"}}',
  ];
  const done = await labExec(host, args, { root, name: labName });
  return done.stdout
    .split('\n')
    .filter((line) => line.includes(` app/${app}/`))
    .map((line) => line.split(' ')[0]!)
    .sort();
}

/** Polls until `probe` gives something, and returns it; fails with `what` after the deadline. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined>,
  timeoutMs = 30_000,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
