// What bootstrap decides once and must never decide again: ids, names, keys. Written before their first use.
import { join } from 'node:path';
import { z } from 'zod';
import { newKey, newWrapKeys } from '../util/seal.js';
import { newOpensshKey } from '../util/openssh-key.js';
import { LocalHost } from './context.js';
import { ImageManifest } from './images.js';
import { readIfThere, writePrivate } from './local-files.js';
import { issue, newAuthority, type CertificatePair } from './pki.js';

/** A host of the cluster with what it is made of. */
export const JournalHost = LocalHost.extend({
  arch: z.enum(['amd64', 'arm64']),
  cpuMillis: z.number().int(),
  memoryBytes: z.number().int(),
  /** When it was added, ms; absent for the hosts of bootstrap. */
  joinedAt: z.number().optional(),
  /** PEM certificates of authorities that builds on this host trust, when they are not the cluster's. */
  trust: z.string().optional(),
});
export type JournalHost = z.infer<typeof JournalHost>;

/** A cluster that is being made or was made from this computer. */
export const ClusterJournal = z.object({
  id: z.string(),
  name: z.string(),
  domain: z.string(),
  createdAt: z.number(),
  state: z.enum(['begun', 'complete']),
  httpPort: z.number().int(),
  httpsPort: z.number().int(),
  gatewayPort: z.number().int(),
  gatewayFingerprint: z.string(),
  hosts: z.array(JournalHost).min(1),
  /** Path of the private key that it is made and used with. */
  identity: z.string().optional(),
  /** Capacity of every host's book, when the operator said one. */
  capacity: z.object({ memoryMiB: z.number().int(), cpuMillis: z.number().int() }).optional(),
  /** PEM certificates of authorities that system images and builds trust beside the usual ones. */
  trust: z.string().optional(),
  /** It is a grid without the platform: no controller, gateway, router, registry. */
  layer0: z.literal(true).optional(),
  /** What the cluster's appliances run from, and the bundle it came in. */
  images: ImageManifest.optional(),
  bundle: z.string().optional(),
});
export type ClusterJournal = z.infer<typeof ClusterJournal>;

const Pair = z.object({ cert: z.string(), key: z.string() });

/** Everything secret of a cluster. */
export const ClusterSecrets = z.object({
  authority: Pair,
  /** Identity of the operator towards etcd. */
  root: Pair,
  /** 32 bytes, base64. */
  clusterKey: z.string(),
  /** Private host key of the gateways, OpenSSH format. */
  gatewayKey: z.string(),
  hosts: z.record(
    z.string(),
    z.object({
      host: Pair,
      router: Pair,
      control: Pair.optional(),
      etcd: Pair.optional(),
      wrap: z.object({ publicKey: z.string(), privateKey: z.string() }),
    }),
  ),
});
export type ClusterSecrets = z.infer<typeof ClusterSecrets>;

/** Directory of a cluster's journal. */
export const journalDir = (home: string, name: string): string => join(home, name);

const files = { journal: 'cluster.json', secrets: 'secrets.json' } as const;

/** The journal of a cluster with its secrets; undefined when there is none. */
export async function loadJournal(
  home: string,
  name: string,
): Promise<{ journal: ClusterJournal; secrets: ClusterSecrets } | undefined> {
  const dir = journalDir(home, name);
  const journal = await readIfThere(join(dir, files.journal));
  const secrets = await readIfThere(join(dir, files.secrets));
  if (journal === undefined || secrets === undefined) return undefined;
  return {
    journal: ClusterJournal.parse(JSON.parse(journal)),
    secrets: ClusterSecrets.parse(JSON.parse(secrets)),
  };
}

/** Writes the journal; the secrets too when they are given. Secrets first: a journal without them is none. */
export async function saveJournal(
  home: string,
  journal: ClusterJournal,
  secrets?: ClusterSecrets,
): Promise<void> {
  const dir = journalDir(home, journal.name);
  if (secrets) await writePrivate(join(dir, files.secrets), `${JSON.stringify(secrets, null, 2)}\n`);
  await writePrivate(join(dir, files.journal), `${JSON.stringify(journal, null, 2)}\n`);
}

/** New secrets for a cluster of these hosts, and the fingerprint of its gateways. `now` in ms. */
export async function newSecrets(
  name: string,
  hosts: readonly Pick<JournalHost, 'name' | 'address' | 'publicAddress' | 'roles'>[],
  now: number,
): Promise<{ secrets: ClusterSecrets; gatewayFingerprint: string }> {
  const authority = await newAuthority(name, now);
  const gateway = newOpensshKey(`flynn gateway ${name}`);
  const secrets: ClusterSecrets = {
    authority,
    root: await issue(authority, { name: 'root' }, now),
    clusterKey: newKey().toString('base64'),
    gatewayKey: gateway.privateKey,
    hosts: {},
  };
  for (const host of hosts) secrets.hosts[host.name] = await hostSecrets(authority, host, now);
  return { secrets, gatewayFingerprint: gateway.fingerprint };
}

/** Certificates of one host, each under the names it is reached by. */
export async function hostSecrets(
  authority: CertificatePair,
  host: Pick<JournalHost, 'name' | 'address' | 'publicAddress' | 'roles'>,
  now: number,
): Promise<ClusterSecrets['hosts'][string]> {
  const addresses = [host.name, host.address, '127.0.0.1', 'localhost'];
  const pair = (name: string): Promise<CertificatePair> => issue(authority, { name, addresses }, now);
  return {
    host: await pair(`host-${host.name}`),
    router: await pair('router'),
    ...(host.roles.includes('control') ? { control: await pair('control') } : {}),
    ...(host.roles.includes('etcd') ? { etcd: await pair(`etcd-${host.name}`) } : {}),
    wrap: newWrapKeys(),
  };
}
