// Takes a lab down without a trace, and says what a lab looks like.
import { docker, dockerAny, engineAnswers } from './docker-cli.js';
import { stopEngine } from './engine.js';
import { readHosts, removeLabFiles } from './files.js';
import { findHosts, findNumber, labId, networkOf } from './inventory.js';
import { imageOf, removeBlackhole, removeCgroups } from './machine.js';
import { subnetOf } from './plan.js';
import type { LabRef, LabReport, LabStatus } from './types.js';

/** What `labDown` did. */
export interface LabDownResult {
  name: string;
  /** Names of the hosts that were removed. */
  removed: string[];
  /** Whether an engine that the lab had started was stopped. */
  engineStopped: boolean;
}

/**
 * Removes a lab: containers with their volumes, network, route, cgroups and its directory. A lab that is not there
 * is fine. With `engine`, also stops the engine if the lab started it, unless another lab is still up on it.
 */
export const labDown = async (
  opts: LabRef & { engine?: boolean },
  report: LabReport,
): Promise<LabDownResult> => {
  const id = labId(opts);
  const { signal } = opts;
  const answers = await engineAnswers(signal);
  const removed: string[] = [];
  if (answers) {
    const hosts = await findHosts(id.key, signal);
    const n = await findNumber(id.key, signal);
    const image = hosts[0] ? await imageOf(hosts[0].id) : undefined;
    if (hosts.length > 0) {
      report({ code: 'lab.remove', message: `removing ${hosts.map((host) => host.name).join(', ')}` });
      // Removal of a frozen container waits for ever on some engines.
      const frozen = hosts.filter((host) => host.state === 'paused').map((host) => host.id);
      if (frozen.length > 0) await dockerAny(['unpause', ...frozen], { signal });
      await docker(['rm', '-fv', ...hosts.map((host) => host.id)], { signal, timeoutMs: 120_000 });
      for (const host of hosts) await removeCgroups(host.id, image);
      removed.push(...hosts.map((host) => host.name));
    }
    if (n !== undefined) {
      await docker(['network', 'rm', networkOf(id)], { signal });
      await removeBlackhole(n, image);
    }
  }
  await removeLabFiles(id.dir);
  if (!opts.engine) return { name: id.name, removed, engineStopped: false };
  const others = answers ? await docker(['ps', '-q', '--filter', 'label=flynn.lab'], { signal }) : '';
  if (others) {
    report({ code: 'lab.warning', message: 'the engine stays: another lab is up on it' });
    return { name: id.name, removed, engineStopped: false };
  }
  return { name: id.name, removed, engineStopped: await stopEngine(report) };
};

/** A lab as it is now; `up` is false and `hosts` empty when there is none. Changes nothing. */
export const labStatus = async (ref: LabRef = {}): Promise<LabStatus> => {
  const id = labId(ref);
  const { signal } = ref;
  if (!(await engineAnswers(signal))) return { name: id.name, up: false, dir: id.dir, hosts: [] };
  const [found, n, written] = await Promise.all([
    findHosts(id.key, signal),
    findNumber(id.key, signal),
    readHosts(id.dir),
  ]);
  const hosts = await Promise.all(
    written
      .flatMap((host) => {
        const now = found.find((one) => one.name === host.name);
        return now ? [{ ...host, container: now.id, state: now.state }] : [];
      })
      .map(async (host) => {
        if (host.state !== 'running') return { ...host, cuts: [] };
        const cuts = await dockerAny(['exec', host.container, 'lab-cut', 'list'], { signal });
        return { ...host, cuts: cuts.stdout.split('\n').filter(Boolean) };
      }),
  );
  return {
    name: id.name,
    up: hosts.length > 0,
    dir: id.dir,
    ...(n === undefined ? {} : { subnet: subnetOf(n) }),
    hosts,
  };
};
