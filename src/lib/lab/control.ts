// What happens to hosts: commands, power cuts, freezes and partitions.
import { FlynnError } from '../api/errors.js';
import { systemClock } from '../util/clock.js';
import { docker, dockerAny } from './docker-cli.js';
import { findHosts, findNumber, labId, mustRun, oneHost, type FoundHost } from './inventory.js';
import { addressesOf } from './plan.js';
import { waitReady } from './up.js';
import type { Finished } from './process.js';
import type { LabHostState, LabRef } from './types.js';

/** A host and the state it is in after a change. */
export interface HostChange {
  host: string;
  state: LabHostState;
}

/** Options of `labExec`. */
export interface LabExecOptions extends LabRef {
  /** Hands the command this process's stdin, stdout and stderr. */
  inherit?: boolean;
  /** Written to the command's stdin. */
  input?: string;
  /** Milliseconds; 10 minutes when left out. */
  timeoutMs?: number;
}

/**
 * Runs a command as root inside a host, past its network: it works on a host that is cut off, too.
 * Returns exit code and output. Throws `not_found`, `conflict` when the host does not run, `timeout`.
 */
export const labExec = async (
  host: string,
  argv: readonly string[],
  opts: LabExecOptions = {},
): Promise<Finished> => {
  const id = labId(opts);
  const found = await oneHost(id, host, opts.signal);
  mustRun(id, found);
  const tty = opts.inherit && process.stdin.isTTY && process.stdout.isTTY ? ['-it'] : ['-i'];
  const interactive = opts.inherit || opts.input !== undefined ? tty : [];
  return dockerAny(['exec', ...interactive, found.id, ...argv], {
    timeoutMs: opts.timeoutMs ?? 600_000,
    stdio: opts.inherit ? 'inherit' : 'pipe',
    ...(opts.input === undefined ? {} : { input: opts.input }),
    signal: opts.signal,
  });
};

/** Cuts a host's power: everything on it dies at once, its disks stay. One that is off stays off. */
export const killHost = async (host: string, ref: LabRef = {}): Promise<HostChange> => {
  const found = await oneHost(labId(ref), host, ref.signal);
  if (found.state === 'off') return { host, state: 'off' };
  // A frozen process cannot die before it thaws, and the engine refuses to try.
  if (found.state === 'paused') await docker(['unpause', found.id], { signal: ref.signal });
  await docker(['kill', found.id], { signal: ref.signal });
  return { host, state: 'off' };
};

/** Switches a host on and returns when its sshd and engine answer. One that is on stays on. Throws `timeout`. */
export const startHost = async (host: string, ref: LabRef = {}): Promise<HostChange> => {
  const id = labId(ref);
  const found = await oneHost(id, host, ref.signal);
  if (found.state === 'paused') mustRun(id, found);
  if (found.state === 'off') await docker(['start', found.id], { signal: ref.signal });
  await waitReady(found.id, host, ref.signal);
  return { host, state: 'running' };
};

const WITNESS = '/var/lib/lab/witness';
const WITNESS_GAP_MS = 150;

/** The witness's count, read from the host's disk: that works while the host is frozen. */
const witnessCount = async (found: FoundHost, signal?: AbortSignal): Promise<string> => {
  const tar = await docker(['cp', `${found.id}:${WITNESS}`, '-'], { signal });
  return tar.slice(512).split('\0')[0] ?? '';
};

/**
 * Freezes a host with everything on it, the jobs of its engine too: a witness process that lies where jobs lie must
 * have stopped, or the host is thawed and `internal` thrown. One that is frozen stays so.
 */
export const pauseHost = async (host: string, ref: LabRef = {}): Promise<HostChange> => {
  const id = labId(ref);
  const { signal } = ref;
  const found = await oneHost(id, host, signal);
  if (found.state === 'paused') return { host, state: 'paused' };
  mustRun(id, found);
  const witness = await dockerAny(['exec', found.id, 'lab-witness', 'start'], { signal });
  const unwatched = async (why: string): Promise<never> => {
    await dockerAny(['exec', found.id, 'lab-witness', 'stop']);
    throw new FlynnError({
      code: 'internal',
      message: `a pause of lab host ${host} would not be whole: ${why}`,
    });
  };
  if (witness.code !== 0) return unwatched(witness.stderr.trim());
  await docker(['pause', found.id], { signal });
  const first = await witnessCount(found, signal);
  await systemClock.sleep(WITNESS_GAP_MS, signal);
  if (first === (await witnessCount(found, signal))) return { host, state: 'paused' };
  await docker(['unpause', found.id]);
  return unwatched('the witness went on');
};

/** Thaws a host. One that runs goes on. Throws `conflict` for one that is off. */
export const unpauseHost = async (host: string, ref: LabRef = {}): Promise<HostChange> => {
  const id = labId(ref);
  const found = await oneHost(id, host, ref.signal);
  if (found.state === 'paused') {
    await docker(['unpause', found.id], { signal: ref.signal });
    await dockerAny(['exec', found.id, 'lab-witness', 'stop'], { signal: ref.signal });
  } else mustRun(id, found);
  return { host, state: 'running' };
};

const addressOf = async (key: string, host: string, signal?: AbortSignal): Promise<string> => {
  const n = await findNumber(key, signal);
  if (n === undefined)
    throw new FlynnError({ code: 'internal', message: `the lab of host ${host} has no network` });
  return addressesOf(n, host.charCodeAt(0) - 97).address;
};

const cut = async (found: FoundHost, what: string, signal?: AbortSignal): Promise<void> => {
  await docker(['exec', found.id, 'lab-cut', 'add', what], { signal });
};

/**
 * Cuts two hosts off from each other, in both directions; what is open between them hangs. The cut outlives a power
 * cycle. It holds when one of the two runs; throws `conflict` when neither does.
 */
export const partition = async (
  a: string,
  b: string,
  ref: LabRef = {},
): Promise<{ cut: [string, string] }> => {
  const id = labId(ref);
  const { signal } = ref;
  if (a === b) throw new FlynnError({ code: 'usage', message: `host ${a} cannot be cut off from itself` });
  const [one, other] = await Promise.all([oneHost(id, a, signal), oneHost(id, b, signal)]);
  const [addressA, addressB] = await Promise.all([
    addressOf(id.key, a, signal),
    addressOf(id.key, b, signal),
  ]);
  // Each side drops both directions, so the cut holds while one side is frozen or off.
  if (one.state !== 'running' && other.state !== 'running') mustRun(id, one);
  if (one.state === 'running') await cut(one, addressB, signal);
  if (other.state === 'running') await cut(other, addressA, signal);
  return { cut: [a, b] };
};

/** Cuts a running host off from everything: the other hosts and the machine, so its published ports too. */
export const isolate = async (host: string, ref: LabRef = {}): Promise<{ isolated: string }> => {
  const id = labId(ref);
  const found = await oneHost(id, host, ref.signal);
  mustRun(id, found);
  await cut(found, 'all', ref.signal);
  return { isolated: host };
};

/** Ends every cut of the lab. Throws `conflict` while a host is frozen or off: it may hold cuts of its own. */
export const heal = async (ref: LabRef = {}): Promise<{ healed: string[] }> => {
  const id = labId(ref);
  const hosts = await findHosts(id.key, ref.signal);
  const running = hosts.filter((host) => host.state === 'running');
  await Promise.all(
    running.map((host) => docker(['exec', host.id, 'lab-cut', 'clear'], { signal: ref.signal })),
  );
  for (const host of hosts) mustRun(id, host);
  return { healed: running.map((host) => host.name) };
};
