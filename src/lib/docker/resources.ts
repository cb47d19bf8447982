// Networks and volumes over the engine's API.
import type Dockerode from 'dockerode';
import { FlynnError, isFlynnError } from '../api/errors.js';
import { engineMillis, labelFilter } from './convert.js';
import type { Engine, Request } from './engine.js';
import type { DockerNetworks, DockerVolumes, NetworkInfo, VolumeInfo } from './port.js';

const toNetwork = (found: Dockerode.NetworkInspectInfo): NetworkInfo => {
  const pools = found.IPAM?.Config ?? [];
  const bridge = found.Options?.['com.docker.network.bridge.name'];
  const present = (values: (string | undefined)[]): string[] =>
    values.filter((value): value is string => value !== undefined && value !== '');
  return {
    id: found.Id,
    name: found.Name,
    driver: found.Driver,
    labels: found.Labels ?? {},
    subnets: present(pools.map((pool) => pool['Subnet'])),
    gateways: present(pools.map((pool) => pool['Gateway'])),
    ...(bridge ? { bridge } : {}),
  };
};

const toVolume = (found: Dockerode.VolumeInspectInfo): VolumeInfo => ({
  name: found.Name,
  driver: found.Driver,
  mountpoint: found.Mountpoint,
  labels: found.Labels ?? {},
  createdAt: engineMillis((found as { CreatedAt?: string }).CreatedAt),
});

/** Makes a removal idempotent. */
const unlessGone = async (removal: Promise<void>): Promise<void> => {
  try {
    await removal;
  } catch (error) {
    if (!isFlynnError(error, 'not_found')) throw error;
  }
};

/** DockerNetworks over an engine. */
export const makeNetworks = (engine: Engine): DockerNetworks => {
  const request = (method: Request['method'], name: string, verb: string, rest = ''): Request => ({
    method,
    path: `/networks/${encodeURIComponent(name)}${rest}`,
    what: `${verb} the network ${name}`,
  });
  return {
    list: async (filter = {}) => {
      const query = { filters: labelFilter(filter.labels) };
      const ask: Request = { method: 'GET', path: '/networks', query, what: 'list networks' };
      return (await engine.json<Dockerode.NetworkInspectInfo[]>(ask, filter)).map(toNetwork);
    },
    inspect: async (name, opts) =>
      toNetwork(await engine.json<Dockerode.NetworkInspectInfo>(request('GET', name, 'inspect'), opts)),
    create: async (spec, opts) => {
      const body = {
        Name: spec.name,
        CheckDuplicate: true,
        Driver: spec.driver ?? 'bridge',
        Internal: spec.internal ?? false,
        Labels: spec.labels ?? {},
        Options: spec.options ?? {},
        ...(spec.subnet ? { IPAM: { Config: [{ Subnet: spec.subnet, Gateway: spec.gateway }] } } : {}),
      };
      const what = `create the network ${spec.name}`;
      return (
        await engine.json<{ Id: string }>({ method: 'POST', path: '/networks/create', body, what }, opts)
      ).Id;
    },
    connect: (name, container, how = {}, opts) => {
      const EndpointConfig = {
        ...(how.ip ? { IPAMConfig: { IPv4Address: how.ip } } : {}),
        ...(how.aliases ? { Aliases: [...how.aliases] } : {}),
      };
      const ask = request('POST', name, `connect ${container} to`, '/connect');
      return engine.done({ ...ask, body: { Container: container, EndpointConfig } }, opts);
    },
    disconnect: (name, container, opts) => {
      const ask = request('POST', name, `disconnect ${container} from`, '/disconnect');
      return engine.done({ ...ask, body: { Container: container, Force: true } }, opts);
    },
    remove: (name, opts) => unlessGone(engine.done(request('DELETE', name, 'remove'), opts)),
  };
};

/** DockerVolumes over an engine. */
export const makeVolumes = (engine: Engine): DockerVolumes => {
  const at = (name: string): string => `/volumes/${encodeURIComponent(name)}`;
  return {
    list: async (filter = {}) => {
      const query = { filters: labelFilter(filter.labels) };
      const ask: Request = { method: 'GET', path: '/volumes', query, what: 'list volumes' };
      const found = await engine.json<{ Volumes: Dockerode.VolumeInspectInfo[] | null }>(ask, filter);
      return (found.Volumes ?? []).map(toVolume);
    },
    inspect: async (name, opts) => {
      const ask: Request = { method: 'GET', path: at(name), what: `inspect the volume ${name}` };
      return toVolume(await engine.json<Dockerode.VolumeInspectInfo>(ask, opts));
    },
    create: async (spec, opts) => {
      if (spec.name === '') throw new FlynnError({ code: 'invalid', message: 'a volume needs a name' });
      const body = {
        Name: spec.name,
        Driver: spec.driver ?? 'local',
        DriverOpts: spec.options ?? {},
        Labels: spec.labels ?? {},
      };
      const what = `create the volume ${spec.name}`;
      const ask: Request = { method: 'POST', path: '/volumes/create', body, what };
      return toVolume(await engine.json<Dockerode.VolumeInspectInfo>(ask, opts));
    },
    remove: (name, opts = {}) => {
      const query = { force: opts.force ?? false };
      return unlessGone(
        engine.done({ method: 'DELETE', path: at(name), query, what: `remove the volume ${name}` }, opts),
      );
    },
  };
};
