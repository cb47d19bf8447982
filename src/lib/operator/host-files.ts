// The files and directories that a host of a cluster has, as values. Pure.
import { join } from 'node:path/posix';
import { configDirs, hostPaths, type HostFile } from '../appliance/config.js';
import { ports } from '../api/grid.js';
import { bracketHost } from '../util/address.js';
import type { ClusterJournal, ClusterSecrets, JournalHost } from './journal.js';

/** A file on a host. */
export interface FileSpec {
  path: string;
  mode: number;
  content: string;
}

/** A directory on a host. */
export interface DirSpec {
  path: string;
  mode: number;
}

/** Client URLs of etcd, the host's own member first. */
export function etcdEndpoints(journal: ClusterJournal, host: JournalHost): string[] {
  const members = journal.hosts.filter((other) => other.roles.includes('etcd'));
  const sorted = [
    ...members.filter((m) => m.name === host.name),
    ...members.filter((m) => m.name !== host.name),
  ];
  return sorted.map((member) => `https://${bracketHost(member.address)}:${ports.etcdClient}`);
}

/** Directories below /etc/flynn and /var/lib/flynn; keys lie in directories that only root enters. */
export function hostDirs({ layer0 }: Pick<ClusterJournal, 'layer0'>, host: JournalHost): DirSpec[] {
  const at = (dir: string): string => join(hostPaths.config, dir);
  const data = (dir: string): string => join(hostPaths.data, dir);
  const control = host.roles.includes('control');
  return [
    { path: hostPaths.config, mode: 0o755 },
    { path: at(configDirs.common), mode: 0o755 },
    { path: at(configDirs.host), mode: 0o700 },
    { path: hostPaths.data, mode: 0o755 },
    { path: data('dns'), mode: 0o755 },
    ...(control ? [{ path: at(configDirs.control), mode: 0o700 }] : []),
    ...(layer0
      ? []
      : [
          // Always there, also empty: build jobs mount it.
          { path: at(configDirs.trust), mode: 0o755 },
          { path: at(configDirs.router), mode: 0o700 },
          { path: data('router'), mode: 0o755 },
        ]),
    ...(control && !layer0
      ? [
          { path: data('registry'), mode: 0o700 },
          { path: data('gateway'), mode: 0o700 },
        ]
      : []),
    ...(host.roles.includes('etcd')
      ? [
          { path: at(configDirs.etcd), mode: 0o700 },
          { path: data('etcd'), mode: 0o700 },
        ]
      : []),
  ];
}

/** The content of common/host.json. */
export function hostFile(journal: ClusterJournal, host: JournalHost): HostFile {
  return {
    cluster: { id: journal.id, name: journal.name },
    host: host.name,
    address: host.address,
    publicAddress: host.publicAddress,
    roles: host.roles,
    etcd: etcdEndpoints(journal, host),
    ...(journal.capacity ? { capacity: journal.capacity } : {}),
    httpPort: journal.httpPort,
    httpsPort: journal.httpsPort,
    gatewayPort: journal.gatewayPort,
  };
}

/** Every file of a host. host.json comes last: a host that has it has the rest. */
export function hostFiles(journal: ClusterJournal, secrets: ClusterSecrets, host: JournalHost): FileSpec[] {
  const own = secrets.hosts[host.name];
  if (!own) throw new Error(`there are no certificates for ${host.name}`);
  const at = (dir: string, name: string, content: string, mode: number): FileSpec => ({
    path: join(hostPaths.config, dir, name),
    mode,
    content,
  });
  const pair = (dir: string, name: string, value: { cert: string; key: string }): FileSpec[] => [
    at(dir, `${name}.crt`, value.cert, 0o644),
    at(dir, `${name}.key`, value.key, 0o600),
  ];
  const trust = host.trust ?? journal.trust;
  return [
    at(configDirs.common, 'ca.crt', secrets.authority.cert, 0o644),
    ...(trust && !journal.layer0 ? [at(configDirs.trust, 'ca.crt', trust, 0o644)] : []),
    ...pair(configDirs.host, 'host', own.host),
    at(configDirs.host, 'wrap.key', own.wrap.privateKey, 0o600),
    ...(journal.layer0 ? [] : pair(configDirs.router, 'router', own.router)),
    ...(own.etcd ? pair(configDirs.etcd, 'server', own.etcd) : []),
    ...(own.control
      ? [
          ...pair(configDirs.control, 'control', own.control),
          at(configDirs.control, 'cluster.key', secrets.clusterKey, 0o600),
          at(configDirs.control, 'ca.key', secrets.authority.key, 0o600),
          ...(journal.layer0 ? [] : [at(configDirs.control, 'gateway_host_key', secrets.gatewayKey, 0o600)]),
        ]
      : []),
    at(configDirs.common, 'host.json', `${JSON.stringify(hostFile(journal, host), null, 2)}\n`, 0o644),
  ];
}
