// What of a lab exists on the engine right now: its network and its containers. The engine is the truth, files follow.
import { FlynnError } from '../api/errors.js';
import { docker } from './docker-cli.js';
import { labDir } from './files.js';
import { labKey, labName, networkName, numberOf, PUBLISHED, type Publish } from './plan.js';
import { packageRoot } from '../util/package-root.js';
import type { LabHostState, LabRef } from './types.js';

/** A lab's identity, worked out of a LabRef. */
export interface LabId {
  root: string;
  name: string;
  key: string;
  dir: string;
}

/** Identity of the lab that `ref` names. Throws `usage` for a bad name. */
export const labId = (ref: LabRef): LabId => {
  const root = ref.root ?? packageRoot();
  const name = labName(ref.name);
  return { root, name, key: labKey(root, name), dir: labDir(root, name) };
};

/** A lab host as the engine sees it. */
export interface FoundHost {
  name: string;
  id: string;
  state: LabHostState;
  variant: string;
  publish: Publish[];
}

/** The parts of `docker inspect` that are read. */
interface Inspected {
  Id: string;
  State: { Status: string };
  Config: { Labels: Record<string, string> };
  HostConfig: { PortBindings: Record<string, { HostIp: string; HostPort: string }[] | null> | null };
}

const stateOf = (status: string): LabHostState =>
  status === 'running' ? 'running' : status === 'paused' ? 'paused' : 'off';

const foundHost = (one: Inspected): FoundHost => ({
  name: one.Config.Labels['flynn.lab.host'] ?? '',
  id: one.Id,
  state: stateOf(one.State.Status),
  variant: one.Config.Labels['flynn.lab.variant'] ?? 'plain',
  publish: Object.entries(one.HostConfig.PortBindings ?? {}).flatMap(([inner, bindings]) =>
    (bindings ?? []).map((b) => ({
      ip: b.HostIp,
      port: Number(b.HostPort),
      inner: Number.parseInt(inner, 10),
    })),
  ),
});

/** The lab's containers, by name. */
export const findHosts = async (key: string, signal?: AbortSignal): Promise<FoundHost[]> => {
  const ids = await docker(['ps', '-aq', '--no-trunc', '--filter', `label=flynn.lab=${key}`], { signal });
  if (!ids) return [];
  const all = JSON.parse(await docker(['inspect', ...ids.split('\n')], { signal })) as Inspected[];
  return all.map(foundHost).toSorted((a, b) => (a.name < b.name ? -1 : 1));
};

/** Number N of the lab's network, or undefined when it has none. */
export const findNumber = async (key: string, signal?: AbortSignal): Promise<number | undefined> => {
  const ids = await docker(['network', 'ls', '-q', '--filter', `label=flynn.lab=${key}`], { signal });
  const id = ids.split('\n')[0];
  if (!id) return undefined;
  const subnet = await docker(['network', 'inspect', '-f', '{{(index .IPAM.Config 0).Subnet}}', id], {
    signal,
  });
  return numberOf(subnet);
};

/** One host of a lab that exists. Throws `not_found`, naming the hosts there are. */
export const oneHost = async (id: LabId, name: string, signal?: AbortSignal): Promise<FoundHost> => {
  const hosts = await findHosts(id.key, signal);
  const host = hosts.find((one) => one.name === name);
  if (host) return host;
  throw new FlynnError({
    code: 'not_found',
    message:
      hosts.length === 0
        ? `lab ${id.name} is not up`
        : `lab ${id.name} has no host ${name}; it has ${hosts.map((one) => one.name).join(', ')}`,
    hint: hosts.length === 0 ? `flynn lab up --name ${id.name}` : `flynn lab status --name ${id.name}`,
  });
};

/** Fails with `conflict` unless the host runs. */
export const mustRun = (id: LabId, host: FoundHost): void => {
  if (host.state === 'running') return;
  const verb = host.state === 'paused' ? 'unpause' : 'start';
  throw new FlynnError({
    code: 'conflict',
    message: `host ${host.name} of lab ${id.name} is ${host.state}`,
    hint: `flynn lab ${verb} ${host.name} --name ${id.name}`,
  });
};

/** Where a port of a host is published: the first binding, which is the host's own address. */
export const published = (host: FoundHost, inner: (typeof PUBLISHED)[number]): Publish => {
  const found = host.publish.filter((p) => p.inner === inner);
  // Host a's port 80 has a second, shared address; its own comes first by being no 127.0.0.1 of 8080–8099.
  const own = found.find((p) => !isLocal(p)) ?? found[0];
  if (own) return own;
  throw new FlynnError({
    code: 'internal',
    message: `port ${inner} of lab host ${host.name} is not published`,
  });
};

/** True for the convenience binding of host a's port 80 on 127.0.0.1:8080–8099. */
export const isLocal = (p: Publish): boolean =>
  p.inner === 80 && p.ip === '127.0.0.1' && p.port >= 8080 && p.port <= 8099;

/** Name of the lab's network. */
export const networkOf = (id: LabId): string => networkName(id.key);
