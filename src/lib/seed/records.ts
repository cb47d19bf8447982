// The first records of a grid, written so that repeating it changes nothing and never takes back what came later.
import { FlynnError } from '../api/errors.js';
import { ClusterConfig } from '../api/grid.js';
import { canonicalJson } from '../api/template.js';
import { keys } from '../api/keys.js';
import { createHostBook, putTemplate } from '../layer0/index.js';
import type { Store } from '../store/port.js';
import type { Clock } from '../util/clock.js';
import type { Rng } from '../util/rng.js';
import type { SeedGrid, SeedHost } from './protocol.js';

/** Writes a record unless an equal one is there; `keep` leaves any existing one alone. True when it was written. */
async function putRecord(store: Store, key: string, value: unknown, keep = false): Promise<boolean> {
  const there = await store.get(key);
  if (there && (keep || canonicalJson(JSON.parse(there.value)) === canonicalJson(value))) return false;
  const result = await store.txn({
    compare: [{ key, target: 'mod', op: '=', value: there?.modRevision ?? 0 }],
    then: [{ op: 'put', key, value: JSON.stringify(value) }],
  });
  // Somebody else was faster: an agent that refreshes its record, or a second bootstrap. Both know better than we do.
  return result.succeeded;
}

async function putHosts(
  store: Store,
  hosts: readonly SeedHost[],
  ports: { clock: Clock; rng: Rng },
): Promise<number> {
  let written = 0;
  for (const { info, capacity } of hosts) {
    if (await putRecord(store, keys.hostInfo(info.name), info, true)) written += 1;
    await createHostBook(store, info.name, capacity, ports);
  }
  return written;
}

/** Adds hosts to the cluster of that id, and touches nothing else; returns how many were new. Throws `conflict`. */
export async function joinHosts(
  store: Store,
  cluster: string,
  hosts: readonly SeedHost[],
  ports: { clock: Clock; rng: Rng },
): Promise<number> {
  const entry = await store.get(keys.cluster);
  const id = entry && ClusterConfig.parse(JSON.parse(entry.value)).id;
  if (id !== cluster) {
    throw new FlynnError({
      code: 'conflict',
      message: `etcd holds the cluster ${id ?? '(none)'}, not ${cluster}`,
      hint: 'flynn cluster list',
    });
  }
  return putHosts(store, hosts, ports);
}

/** Writes what is missing; returns how many records it wrote. */
export async function seedGrid(
  store: Store,
  grid: SeedGrid,
  ports: { clock: Clock; rng: Rng },
): Promise<number> {
  let written = 0;
  const put = async (key: string, value: unknown, keep = false): Promise<void> => {
    if (await putRecord(store, key, value, keep)) written += 1;
  };
  await put(keys.cluster, grid.cluster);
  written += await putHosts(store, grid.hosts, ports);
  for (const { template, ...omni } of grid.omnis) {
    const { hash } = await putTemplate(store, template);
    await put(keys.omni(omni.name), { ...omni, template: hash });
  }
  // A key that was removed or given another role since must not come back with the next bootstrap.
  const { entries } = await store.list(keys.sshKeys, { limit: 1, keysOnly: true });
  if (entries.length === 0)
    for (const key of grid.sshKeys) await put(keys.sshKey(key.fingerprint), key, true);
  return written;
}
