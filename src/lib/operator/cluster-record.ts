// What bootstrap decides about a cluster and writes down: from looked-at hosts to its journal, and to what is remembered.
import { FlynnError } from '../api/errors.js';
import type { SshConnection } from '../ssh/port.js';
import { bracketHost } from '../util/address.js';
import { ulid } from '../util/ulid.js';
import type { AddressChoice } from './addresses.js';
import type { BootstrapOptions } from './bootstrap.js';
import type { NamedTarget } from './connect.js';
import type { LocalCluster } from './context.js';
import { archOf, type HostReport } from './judge.js';
import { newSecrets, type ClusterJournal, type ClusterSecrets, type JournalHost } from './journal.js';
import type { OperatorPorts } from './ports.js';
import { rolesAt } from './roles.js';

/** Public ports that have no flag. */
export const httpsPort = 443;
export const gatewayPort = 2222;

/** A host that was looked at. */
export interface Looked {
  named: NamedTarget;
  conn: SshConnection;
  report: HostReport;
  publicAddress: string;
}

/** The journal of an earlier run, if the same hosts are named; with the authorities that are named now, if any are. */
export function sameHosts(
  journal: ClusterJournal,
  looked: readonly Looked[],
  options: BootstrapOptions,
): ClusterJournal {
  const before = new Set(journal.hosts.map((h) => h.hostKey));
  const now = new Set(looked.map((l) => l.conn.hostKey.fingerprint));
  const conflict = (message: string, hint: string): FlynnError =>
    new FlynnError({ code: 'conflict', message, hint });
  if (before.size !== now.size || [...before].some((key) => !now.has(key))) {
    throw conflict(
      `the cluster ${journal.name} was begun with other hosts: ${journal.hosts.map((h) => h.name).join(', ')}`,
      'name the same hosts, or give another --name',
    );
  }
  if (options.domain !== undefined && options.domain !== journal.domain) {
    throw conflict(
      `the cluster ${journal.name} has the domain ${journal.domain} already`,
      `leave out --domain, or begin anew: flynn cluster destroy ${journal.name}`,
    );
  }
  // A flag that was not given may be undefined, whatever its type says.
  if (Boolean(options.layer0) !== (journal.layer0 === true)) {
    throw conflict(
      journal.layer0
        ? `the cluster ${journal.name} is Layer 0 alone: it was begun with --layer0`
        : `the cluster ${journal.name} was begun with the platform, not with --layer0`,
      journal.layer0
        ? `flynn cluster bootstrap --layer0 …   (or begin anew: flynn cluster destroy ${journal.name})`
        : `leave out --layer0, or begin anew: flynn cluster destroy ${journal.name}`,
    );
  }
  return options.trust === undefined ? journal : withTrust(journal, options.trust);
}

/** The journal with these authorities for all of its hosts. */
function withTrust(journal: ClusterJournal, trust: string): ClusterJournal {
  return { ...journal, trust, hosts: journal.hosts.map(({ trust: _own, ...host }) => host) };
}

/** A new cluster's journal and secrets; nothing is written yet. */
export async function newCluster(
  ports: OperatorPorts,
  options: BootstrapOptions,
  looked: readonly Looked[],
  addresses: readonly AddressChoice[],
  domain: string,
): Promise<{ journal: ClusterJournal; secrets: ClusterSecrets }> {
  const now = ports.clock.now();
  const hosts = looked.map(({ named, conn, report, publicAddress }, index): JournalHost => {
    const { host, port, user } = named.target;
    return {
      name: report.name,
      target: { host, port, user },
      hostKey: conn.hostKey.fingerprint,
      address: addresses.find((a) => a.host === report.name)?.address ?? '',
      publicAddress,
      roles: rolesAt(index, looked.length),
      arch: archOf(report.facts.arch) ?? 'amd64',
      cpuMillis: report.facts.cpus * 1000,
      memoryBytes: report.facts.memoryBytes,
    };
  });
  const { secrets, gatewayFingerprint } = await newSecrets(options.name, hosts, now);
  const journal: ClusterJournal = {
    id: ulid(now, ports.rng),
    name: options.name,
    domain,
    createdAt: now,
    state: 'begun',
    httpPort: options.httpPort,
    httpsPort,
    gatewayPort,
    gatewayFingerprint,
    hosts,
    ...(options.capacity ? { capacity: options.capacity } : {}),
    ...(options.identity ? { identity: options.identity } : {}),
    ...(options.trust ? { trust: options.trust } : {}),
    ...(options.layer0 ? { layer0: true as const } : {}),
  };
  return { journal, secrets };
}

/** A cluster as this computer remembers it. */
export function localCluster(journal: ClusterJournal): LocalCluster {
  const { name, id, domain, hosts, layer0 } = journal;
  return {
    name,
    id,
    ...(layer0 ? { layer0 } : { domain }),
    fingerprint: journal.gatewayFingerprint,
    ...(journal.identity ? { identity: journal.identity } : {}),
    gateways: hosts
      .filter((host) => !layer0 && host.roles.includes('control'))
      .map((host) => `${bracketHost(host.publicAddress)}:${journal.gatewayPort}`),
    hosts: hosts.map(({ name, target, hostKey, address, publicAddress, roles }) => ({
      name,
      target,
      hostKey,
      address,
      publicAddress,
      roles,
    })),
  };
}
