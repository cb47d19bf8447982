// How a host shows that it is there: its lease, and its own facts under hosts/H/info.
import { createPublicKey, createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { HostInfo, type HostLease } from '../../api/grid.js';
import { keys } from '../../api/keys.js';
import { canonicalJson } from '../../api/template.js';
import type { HostFile } from '../../appliance/config.js';
import { keepSession } from '../../store/session.js';
import type { Store } from '../../store/port.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../util/log.js';
import type { Rng } from '../../util/rng.js';
import { backoff } from '../../util/retry.js';
import { ulid } from '../../util/ulid.js';

const MiB = 1024 * 1024;

/** What presence needs. */
export interface PresenceDeps {
  store: Store;
  clock: Clock;
  rng: Rng;
  log: Log;
  file: HostFile;
  wrapPrivateKey: string;
}

/** RULES, "host lease". */
export const hostLeaseSeconds = 10;

/** Identifies this run of the machine; a new random id where the kernel tells none. */
export const bootId = (clock: Clock, rng: Rng): string => {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return ulid(clock.now(), rng);
  }
};

/** Raw public half of a raw X25519 private key, both base64. */
export const publicWrapKey = (privateKey: string): string => {
  const pkcs8 = Buffer.concat([
    Buffer.from('302e020100300506032b656e04220420', 'hex'),
    Buffer.from(privateKey, 'base64'),
  ]);
  const key = createPublicKey(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }));
  return key.export({ type: 'spki', format: 'der' }).subarray(-32).toString('base64');
};

/** What this host is, as its own files and machine tell. */
export const ownInfo = (file: HostFile, wrapPrivateKey: string, joinedAt: number): HostInfo => ({
  name: file.host,
  address: file.address,
  publicAddress: file.publicAddress,
  roles: file.roles,
  arch: process.arch === 'arm64' ? 'arm64' : 'amd64',
  wrapKey: publicWrapKey(wrapPrivateKey),
  cpuMillis: file.capacity?.cpuMillis ?? os.availableParallelism() * 1000,
  memoryBytes: file.capacity ? file.capacity.memoryMiB * MiB : os.totalmem(),
  joinedAt,
});

/** Brings `hosts/H/info` up to date; tries until it is done or the signal is aborted. */
export const refreshInfo = async (deps: PresenceDeps, signal: AbortSignal): Promise<void> => {
  const { store, clock, rng, log, file } = deps;
  const key = keys.hostInfo(file.host);
  for (let failures = 0; !signal.aborted;) {
    try {
      const entry = await store.get(key, { signal });
      const known = entry && HostInfo.safeParse(JSON.parse(entry.value)).data;
      const info = ownInfo(file, deps.wrapPrivateKey, known?.joinedAt ?? clock.now());
      if (!known || canonicalJson(known) !== canonicalJson(info)) {
        await store.put(key, JSON.stringify(info), { signal });
        log.info({ key }, 'host info written');
      }
      return;
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      log.debug({ error: String(error) }, 'host info not written, trying again');
      await clock.sleep(backoff(failures, rng), signal).catch(() => undefined);
    }
  }
};

/** Holds the host's lease until the signal is aborted. */
export const holdLease = (deps: PresenceDeps, signal: AbortSignal): Promise<void> => {
  const { store, clock, rng, log, file } = deps;
  const lease: HostLease = { boot: bootId(clock, rng), since: clock.now() };
  return keepSession({
    store,
    clock,
    rng,
    log,
    signal,
    ttlSeconds: hostLeaseSeconds,
    onOpen: async (session) => {
      await store.put(keys.hostLease(file.host), JSON.stringify(lease), { lease: session.leaseId, signal });
    },
  });
};
