// Which cluster a command talks to: the local list of clusters, and the FLYNN_CLUSTER string for places without one.
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { FlynnError } from '../api/errors.js';
import { ClusterName } from '../api/names.js';
import { readIfThere, writePrivate } from './local-files.js';

/** What a client of a cluster must know: where its gateways are, and which key they prove to hold. */
export interface ClusterAccess {
  name: string;
  /** `host:port`, an IPv6 host in brackets. */
  gateways: string[];
  /** `SHA256:…` of the host key that all gateways share. */
  fingerprint: string;
  /** Domain below which apps answer; unknown when the cluster comes from a string. */
  domain?: string;
  /** Path of the private key that this cluster is used with. */
  identity?: string;
}

/** How the operator reaches a host of a cluster. */
export const LocalHost = z.object({
  name: z.string(),
  target: z.object({ host: z.string(), port: z.number().int(), user: z.string() }),
  /** Fingerprint of the sshd's host key. */
  hostKey: z.string(),
  address: z.string(),
  publicAddress: z.string(),
  roles: z.array(z.enum(['control', 'etcd'])),
});
export type LocalHost = z.infer<typeof LocalHost>;

/** A cluster as this computer knows it. */
export const LocalCluster = z.object({
  name: ClusterName,
  id: z.string().optional(),
  domain: z.string().optional(),
  /** None where there is Layer 0 alone. */
  gateways: z.array(z.string()),
  fingerprint: z.string().startsWith('SHA256:'),
  /** Path of the private key that this cluster is used with; absent: the agent's and the default ones. */
  identity: z.string().optional(),
  /** It is a grid without the platform. */
  layer0: z.literal(true).optional(),
  hosts: z.array(LocalHost).default([]),
});
export type LocalCluster = z.infer<typeof LocalCluster>;

const ClustersFile = z.object({
  default: z.string().optional(),
  clusters: z.record(z.string(), LocalCluster).default({}),
});
/** All clusters that this computer knows, and the one that is taken when none is named. */
export type ClustersFile = z.infer<typeof ClustersFile>;

const fileOf = (home: string): string => join(home, 'clusters.json');

/** Reads the list; empty when there is none. Throws `invalid` for a file that is not ours. */
export async function loadClusters(home: string): Promise<ClustersFile> {
  const text = await readIfThere(fileOf(home));
  if (text === undefined) return { clusters: {} };
  try {
    return ClustersFile.parse(JSON.parse(text));
  } catch (cause) {
    throw new FlynnError({
      code: 'invalid',
      message: `${fileOf(home)} cannot be read as a list of clusters`,
      hint: `mv ${fileOf(home)} ${fileOf(home)}.broken   (then add the clusters again)`,
      cause,
    });
  }
}

async function change(home: string, edit: (file: ClustersFile) => ClustersFile): Promise<ClustersFile> {
  const next = edit(await loadClusters(home));
  await writePrivate(fileOf(home), `${JSON.stringify(next, null, 2)}\n`);
  return next;
}

/** Adds a cluster or replaces the one of that name; it becomes the default when asked to, or when it is the only one. */
export async function saveCluster(home: string, cluster: LocalCluster, makeDefault: boolean): Promise<void> {
  await change(home, (file) => ({
    ...(makeDefault || file.default === undefined ? { default: cluster.name } : { default: file.default }),
    clusters: { ...file.clusters, [cluster.name]: cluster },
  }));
}

/** Makes a known cluster the default; throws `not_found`. */
export async function useCluster(home: string, name: string): Promise<LocalCluster> {
  const file = await loadClusters(home);
  const cluster = known(file, name);
  await change(home, (now) => ({ ...now, default: name }));
  return cluster;
}

/** Forgets a cluster; false when it was not known. The default goes to the only one left, else to none. */
export async function removeCluster(home: string, name: string): Promise<boolean> {
  const before = await loadClusters(home);
  if (!Object.hasOwn(before.clusters, name)) return false;
  await change(home, (file) => {
    const clusters = Object.fromEntries(Object.entries(file.clusters).filter(([key]) => key !== name));
    const left = Object.keys(clusters);
    const next = file.default === name ? (left.length === 1 ? left[0] : undefined) : file.default;
    return { ...(next === undefined ? {} : { default: next }), clusters };
  });
  return true;
}

/** Forgets a cluster; throws `not_found` for one that is not known. Its journal stays: without it nobody could add hosts. */
export async function forgetCluster(home: string, name: string): Promise<true> {
  known(await loadClusters(home), name);
  await removeCluster(home, name);
  return true;
}

/** How a cluster becomes known by its string. */
export interface AddOptions {
  string: string;
  /** Another name for it here. */
  name?: string;
  identity?: string;
  makeDefault: boolean;
  /** Replace a different cluster of that name. */
  replace: boolean;
}

/** Makes a cluster known by its string; adding it again changes nothing. Throws `exists` for another one of that name. */
export async function addCluster(home: string, options: AddOptions): Promise<ClusterAccess> {
  const parsed = parseClusterString(options.string);
  const name = ClusterName.parse(options.name ?? parsed.name);
  const { clusters } = await loadClusters(home);
  const there = Object.hasOwn(clusters, name) ? clusters[name] : undefined;
  if (there && there.fingerprint !== parsed.fingerprint && !options.replace) {
    throw new FlynnError({
      code: 'exists',
      message: `another cluster is called ${name} here`,
      hint: 'flynn cluster add --name OTHER …   (or --force to replace it)',
    });
  }
  const same = there?.fingerprint === parsed.fingerprint ? there : undefined;
  const identity = options.identity ? resolve(options.identity) : same?.identity;
  const cluster = LocalCluster.parse({ ...same, ...parsed, name, ...(identity ? { identity } : {}) });
  await saveCluster(home, cluster, options.makeDefault);
  return { ...parsed, name, ...(identity ? { identity } : {}) };
}

function known(file: ClustersFile, name: string): LocalCluster {
  const cluster = Object.hasOwn(file.clusters, name) ? file.clusters[name] : undefined;
  if (cluster) return cluster;
  throw new FlynnError({
    code: 'not_found',
    message: `this computer knows no cluster ${name}`,
    hint: 'flynn cluster list',
  });
}

/** Where a command may find the cluster it talks to. */
export interface ChooseOptions {
  home: string;
  /** Value of -c: a name, or a string as in FLYNN_CLUSTER. */
  flag?: string;
  env: Readonly<Record<string, string | undefined>>;
}

/**
 * The cluster to talk to: -c, then FLYNN_CLUSTER, then the default. Either may be a name or a `flynn://` string.
 * Throws `missing` when there is none, `not_found` for a name that is not known, `invalid` for a bad string.
 */
export async function chooseCluster(options: ChooseOptions): Promise<ClusterAccess> {
  const said = options.flag || options.env.FLYNN_CLUSTER;
  if (said?.includes('://')) return parseClusterString(said);
  const file = await loadClusters(options.home);
  const name = said ?? file.default;
  if (name !== undefined && name !== '') {
    const { gateways, fingerprint, domain, identity } = known(file, name);
    return { name, gateways, fingerprint, ...(domain ? { domain } : {}), ...(identity ? { identity } : {}) };
  }
  const some = Object.keys(file.clusters).length > 0;
  throw new FlynnError({
    code: 'missing',
    message: some ? 'several clusters are known and none is the default' : 'this computer knows no cluster',
    hint: some ? 'flynn cluster use NAME' : 'flynn cluster bootstrap root@HOST   (or set FLYNN_CLUSTER)',
  });
}

/** The string that stands for a cluster in CI: `flynn://host:port,host:port/NAME?key=SHA256%3A…`. */
export function formatClusterString(cluster: ClusterAccess): string {
  return `flynn://${cluster.gateways.join(',')}/${cluster.name}?key=${encodeURIComponent(cluster.fingerprint)}`;
}

/** Reads such a string; throws `invalid` saying what is wrong with it. */
export function parseClusterString(text: string): ClusterAccess {
  const bad = (why: string, cause?: unknown): FlynnError =>
    new FlynnError({
      code: 'invalid',
      message: `the cluster string ${why}`,
      hint: 'it looks like flynn://203.0.113.7:2222/NAME?key=SHA256%3A…, as bootstrap printed it',
      cause,
    });
  const match = /^flynn:\/\/([^/?]+)\/([^/?]+)\?(.*)$/.exec(text.trim());
  if (!match) throw bad('is cut short');
  const [, hosts = '', name = '', query = ''] = match;
  const gateways = hosts.split(',').filter((part) => part !== '');
  for (const gateway of gateways) {
    const port = Number(/^(?:\[[0-9a-fA-F:.]+\]|[^:[\]]+):(\d{1,5})$/.exec(gateway)?.[1]);
    if (!(port >= 1 && port <= 65_535)) throw bad(`names a gateway without a port: ${gateway}`);
  }
  const checked = ClusterName.safeParse(name);
  if (!checked.success) throw bad(`has a bad name: ${checked.error.issues[0]?.message ?? name}`);
  const fingerprint = new URLSearchParams(query.replaceAll('+', '%2B')).get('key');
  if (!fingerprint || !/^SHA256:[A-Za-z0-9+/]{43}=?$/.test(fingerprint))
    throw bad('carries no host key (key=SHA256:…)');
  if (gateways.length === 0) throw bad('names no gateway');
  return { name, gateways, fingerprint };
}
