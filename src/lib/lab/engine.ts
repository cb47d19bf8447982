// The machine's Docker engine: found, or installed and started for the lab, and stopped again.
import { spawn } from 'node:child_process';
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FlynnError, isFlynnError } from '../api/errors.js';
import { systemClock } from '../util/clock.js';
import { DeadlineError } from '../util/signal.js';
import { poll } from '../util/retry.js';
import { engineAnswers } from './docker-cli.js';
import { canInstall, install, missingPackages, which } from './packages.js';
import { cacheDir } from './paths.js';
import type { LabReport } from './types.js';

const PROGRAMS = {
  dockerd: 'docker.io',
  docker: 'docker.io',
  iptables: 'iptables',
  debootstrap: 'debootstrap',
};
const START_MS = 60_000;

const recordFile = (): string => join(cacheDir(), 'engine.json');

/** An engine that the lab started. */
interface EngineRecord {
  pid: number;
  log: string;
}

const nothing = (why: string, cause?: unknown): FlynnError =>
  new FlynnError({
    code: 'missing',
    message:
      `the lab needs a Docker engine: ${why}. Install and start Docker (or join the group docker), or run the lab ` +
      'as root on a Debian machine, where it installs docker.io and starts it by itself. The tests that need ' +
      'neither run with: npm run test:unit',
    hint: 'npm run test:unit',
    cause,
  });

const isDockerd = async (pid: number): Promise<boolean> => {
  const comm = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
  return comm.trim() === 'dockerd';
};

const readRecord = async (): Promise<EngineRecord | undefined> => {
  const text = await readFile(recordFile(), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as EngineRecord);
};

const lastLines = async (file: string): Promise<string> => {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.trim().split('\n').slice(-4).join('\n');
};

const startDockerd = async (program: string, report: LabReport, signal?: AbortSignal): Promise<void> => {
  await mkdir(cacheDir(), { recursive: true });
  const log = join(cacheDir(), 'dockerd.log');
  report({ code: 'engine.start', message: `starting dockerd, its log is ${log}` });
  const file = await open(log, 'w');
  const child = spawn(program, [], { detached: true, stdio: ['ignore', file.fd, file.fd] });
  const failed = new Promise<never>((_, reject) => child.once('error', reject));
  child.unref();
  await file.close();
  const ready = poll(systemClock, async () => ((await engineAnswers(signal)) ? true : undefined), {
    timeoutMs: START_MS,
    intervalMs: 150,
    what: 'the start of dockerd',
    ...(signal ? { signal } : {}),
  });
  try {
    await Promise.race([ready, failed]);
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw nothing(`dockerd does not answer; it said: ${await lastLines(log)}`, cause);
  }
  // When another run won the race to start one, ours has ended and is not ours to stop.
  if (child.pid !== undefined && (await isDockerd(child.pid))) {
    await writeFile(recordFile(), JSON.stringify({ pid: child.pid, log } satisfies EngineRecord));
  }
};

/**
 * Makes sure that a Docker engine answers: the one that is there, else one that is installed (apt, as root) and
 * started here. Says what it will do before it does it. Throws `missing` when nothing is usable.
 */
export const ensureEngine = async (report: LabReport, signal?: AbortSignal): Promise<void> => {
  if ((await which('docker')) && (await engineAnswers(signal))) return;
  const elsewhere = process.env['DOCKER_HOST'];
  if (elsewhere) throw nothing(`DOCKER_HOST names ${elsewhere}, which does not answer`);
  if (process.platform !== 'linux') throw nothing('none answers on this machine');
  if (process.getuid?.() !== 0) throw nothing('none answers, and only root can start one');
  const missing = [...new Set(await missingPackages(PROGRAMS))];
  if (missing.length > 0) {
    if (!(await canInstall()))
      throw nothing(`${missing.join(', ')} not found, and this is no Debian with apt`);
    try {
      await install(missing, report, signal);
    } catch (error) {
      throw isFlynnError(error, 'failed') ? nothing(error.message, error) : error;
    }
  }
  const program = await which('dockerd');
  if (!program) throw nothing('dockerd is not installed');
  await startDockerd(program, report, signal);
  report({ code: 'engine.ready', message: 'the engine answers' });
};

/** Stops the engine if the lab started it. Returns whether it did; throws `timeout` when it does not end in 30 s. */
export const stopEngine = async (report: LabReport): Promise<boolean> => {
  const record = await readRecord();
  if (!record) return false;
  const ours = await isDockerd(record.pid);
  if (ours) {
    report({ code: 'engine.stop', message: `stopping dockerd, pid ${record.pid}` });
    process.kill(record.pid, 'SIGTERM');
    try {
      await poll(systemClock, async () => ((await isDockerd(record.pid)) ? undefined : true), {
        timeoutMs: 30_000,
        what: `dockerd, pid ${record.pid}`,
      });
    } catch (cause) {
      if (!(cause instanceof DeadlineError)) throw cause;
      throw new FlynnError({ code: 'timeout', message: cause.message, hint: `tail ${record.log}`, cause });
    }
  }
  await rm(recordFile(), { force: true });
  return ours;
};
