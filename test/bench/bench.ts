// What the benches share: a lab of their own, timing from outside, and one line of JSON at the end.
import { spawn } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import {
  bootstrapArgs,
  labBundle,
  labDown,
  labEnv,
  labUp,
  packageRoot,
  type Lab,
} from '../../src/lib/lab/index.js';

export const root = packageRoot();
export const labName = 'bench';
const report = ({ message }: { message: string }) => say(`  ${message}`);

/** A line for people. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** The result: one line of JSON on stdout. */
export function result(name: string, metrics: Record<string, number>): void {
  for (const [key, value] of Object.entries(metrics)) say(`${name}: ${key} = ${value}`);
  const machine = {
    cpus: cpus().length,
    model: cpus()[0]?.model ?? '',
    memory_mb: Math.round(totalmem() / 1e6),
    kernel: release(),
    node: process.version,
  };
  process.stdout.write(`${JSON.stringify({ name, metrics, machine })}\n`);
}

export interface Timed {
  code: number;
  ms: number;
  stdout: string;
}

/** Runs a program to its end, timed from spawn to close. */
export function time(
  file: string,
  args: string[],
  env: Record<string, string> = {},
  show = false,
): Promise<Timed> {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawn(file, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', show ? 2 : 'ignore'],
    });
    let stdout = '';
    child.stdout!.on('data', (chunk: Buffer) => (stdout += chunk.toString('utf8')));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? 1, ms: performance.now() - started, stdout }));
  });
}

/** Runs `flynn ARGS` on the bench's cluster; throws when it fails. */
export async function flynn(args: string[], show = false): Promise<Timed> {
  const done = await time(
    process.execPath,
    [join(root, 'bin/run.js'), ...args],
    labEnv({ root, name: labName }),
    show,
  );
  if (done.code !== 0) throw new Error(`flynn ${args.join(' ')} ended with ${done.code}`);
  return done;
}

/** Middle value. */
export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

export const rounded = (value: number, digits = 2): number => Number(value.toFixed(digits));

/** Fresh hosts without any image of Flynn's, and the prepared bundle. */
export async function freshLab(hosts: number): Promise<{ lab: Lab; bundle: string }> {
  await labDown({ root, name: labName }, report);
  const lab = await labUp({ root, name: labName, hosts }, report);
  return { lab, bundle: await labBundle(report, { root }) };
}

/** Bootstraps the lab; returns the seconds from the first byte to all healthy. */
export async function bootstrap(lab: Lab, bundle: string): Promise<number> {
  const done = await flynn(bootstrapArgs(lab, bundle), true);
  return done.ms / 1000;
}

/** Takes the bench's lab away. */
export const endLab = () => labDown({ root, name: labName }, report);
