// The copies of the registry that answer, and the slugrunner's image in them.
import { z } from 'zod';
import { FlynnError } from '../../api/errors.js';
import { ports as fixedPorts } from '../../api/grid.js';
import type { HttpClient } from '../../api/http.js';
import type { Log } from '../../util/log.js';
import { copyTag, type RegistryClient } from '../registry/client.js';
import { isMissing } from './hosts.js';
import type { HostWatch } from './hostwatch.js';
import type { Picture } from './state.js';

/** What finding images needs. */
export interface RegistryPorts {
  picture: Picture;
  hosts: HostWatch;
  /** The host that this copy of the controller runs on. */
  local: string;
  /** The registry at a host's address. */
  registry(address: string): RegistryClient;
  /** The agent at a host's address. */
  agent(address: string): Pick<HttpClient, 'call'>;
  log: Log;
}

/** Repository of the slugrunner; `flynn` is no app's name, so it is nobody else's. */
const slugrunner = 'flynn/slugrunner';
const pushMs = 300_000;

/** Copies of the registry that answer now, the one on this host first. */
export async function liveRegistries(ports: RegistryPorts): Promise<RegistryClient[]> {
  const copies = controlAddresses(ports).map((address) => ports.registry(address));
  const alive = await Promise.all(copies.map((copy) => copy.alive()));
  return copies.filter((_, index) => alive[index]);
}

/** Name of a system image. Throws `missing` when the cluster's settings have none. */
export function systemImage(picture: Picture, appliance: string): string {
  const image = picture.cluster()?.images[appliance];
  if (image !== undefined) return image;
  throw new FlynnError({
    code: 'missing',
    message: `the cluster's settings name no image for ${appliance}`,
    hint: 'flynn cluster bootstrap   (run it again: it writes what is missing)',
  });
}

/**
 * The slugrunner's image, held by every live copy as far as they take it, the first one for certain. When no copy has
 * it, an agent pushes the one that its host was given. Throws `unreachable`, `image_missing`, `missing`.
 */
export async function ensureSlugrunner(ports: RegistryPorts): Promise<{ repository: string; tag: string }> {
  const image = systemImage(ports.picture, 'slugrunner');
  const tag = /:([\w.-]+)$/.exec(image)?.[1] ?? 'latest';
  const live = await liveRegistries(ports);
  let holder = await holderOf(live, tag);
  if (!holder) {
    await pushFromHost(ports, image, tag);
    holder = await holderOf(live, tag);
  }
  if (!holder) {
    throw new FlynnError({
      code: 'image_missing',
      message: `no copy of the registry holds ${slugrunner}:${tag}, though a host has pushed it`,
      hint: 'flynn cluster status',
    });
  }
  for (const [index, copy] of live.entries()) {
    if (copy === holder) continue;
    try {
      await copyTag(holder, copy, slugrunner, tag);
    } catch (error) {
      // Builds write to the first copy; another one that fails now is given the whole image with the app's.
      if (index === 0) throw error;
      ports.log.warn({ registry: copy.base, err: error }, 'the slugrunner could not be copied');
    }
  }
  return { repository: slugrunner, tag };
}

async function holderOf(live: readonly RegistryClient[], tag: string): Promise<RegistryClient | undefined> {
  for (const copy of live) if (await copy.manifest(slugrunner, tag)) return copy;
  return undefined;
}

async function pushFromHost(ports: RegistryPorts, image: string, tag: string): Promise<void> {
  const body = { image, as: `127.0.0.1:${fixedPorts.registryLocal}/${slugrunner}:${tag}` };
  let last: unknown;
  for (const address of controlAddresses(ports)) {
    try {
      await ports
        .agent(address)
        .call('POST', '/v1/images/push', z.looseObject({}), { body, timeoutMs: pushMs });
      return;
    } catch (error) {
      last = error;
      ports.log.warn({ address, err: error }, 'the slugrunner could not be pushed from a host');
    }
  }
  throw new FlynnError({
    code: 'unreachable',
    message: `no control host could push ${image} to the registry${last instanceof Error ? `: ${last.message}` : ''}`,
    hint: 'flynn cluster status',
    cause: last,
  });
}

/** Control hosts that are not known to be silent, this one first. */
function controlAddresses({ picture, hosts, local }: RegistryPorts): string[] {
  return [...picture.hosts()]
    .filter(([, { info }]) => info.roles.includes('control'))
    .filter(([name]) => {
      const condition = hosts.condition(name);
      return name === local || condition === undefined || !isMissing(condition);
    })
    .sort(([a], [b]) => Number(b === local) - Number(a === local))
    .map(([, { info }]) => info.address);
}
