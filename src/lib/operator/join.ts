// Who the hosts are that shall join a cluster: known already, new, or in the way. And the journal with them. Pure but for keys.
import { FlynnError } from '../api/errors.js';
import type { AddressChoice } from './addresses.js';
import type { Looked } from './cluster-record.js';
import { archOf, type Finding } from './judge.js';
import { hostSecrets, type ClusterJournal, type ClusterSecrets, type JournalHost } from './journal.js';

/** What the names of looked-at hosts are checked by. */
export type Candidate = Pick<Looked, 'named' | 'report'> & {
  conn: { hostKey: { fingerprint: string } };
};

/** Throws `exists` for a name that another host of the cluster has, `conflict` for a host that cannot be told apart from one. */
export function checkNames(journal: ClusterJournal, candidates: readonly Candidate[]): void {
  for (const { named, report, conn } of candidates) {
    const known = journal.hosts.find((h) => h.hostKey === conn.hostKey.fingerprint);
    const namesake = journal.hosts.find((h) => h.name === report.name);
    if (!known && namesake) {
      throw new FlynnError({
        code: 'exists',
        message: `the cluster ${journal.name} has another host ${report.name}, at ${namesake.target.host}`,
        hint: `flynn cluster add-host OTHERNAME=${named.target.user}@${named.target.host}`,
      });
    }
    if (!known) continue;
    if (known.name !== report.name) {
      throw new FlynnError({
        code: 'conflict',
        message: `${named.target.host} is the host ${known.name} of the cluster already`,
        hint: `flynn cluster add-host ${known.name}=${named.target.user}@${named.target.host}   (goes on where it stopped)`,
      });
    }
    const sameWay = known.target.host === named.target.host && known.target.port === named.target.port;
    const addresses = report.facts.addresses.map((a) => a.address);
    if (!sameWay && report.facts.member?.id !== journal.id && !addresses.includes(known.address)) {
      throw new FlynnError({
        code: 'conflict',
        message: `${named.target.host} shows the host key of ${known.name}, and is another machine`,
        hint: 'rm /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart ssh   (on the new host)',
      });
    }
  }
}

/**
 * The journal and secrets with the new hosts as workers; those that are known stay as they are, but for the
 * authorities in `trust` that builds on all of these hosts shall trust. `now` in ms.
 */
export async function withHosts(
  known: { journal: ClusterJournal; secrets: ClusterSecrets },
  looked: readonly Looked[],
  addresses: readonly AddressChoice[],
  now: number,
  trust?: string,
): Promise<{ journal: ClusterJournal; secrets: ClusterSecrets }> {
  const hosts: JournalHost[] = [];
  const certificates: ClusterSecrets['hosts'] = {};
  for (const { named, conn, report, publicAddress } of looked) {
    if (known.journal.hosts.some((h) => h.name === report.name)) continue;
    const { host, port, user } = named.target;
    const added: JournalHost = {
      name: report.name,
      target: { host, port, user },
      hostKey: conn.hostKey.fingerprint,
      address: addresses.find((a) => a.host === report.name)?.address ?? '',
      publicAddress,
      roles: [],
      arch: archOf(report.facts.arch) ?? 'amd64',
      cpuMillis: report.facts.cpus * 1000,
      memoryBytes: report.facts.memoryBytes,
      joinedAt: now,
    };
    hosts.push(added);
    certificates[added.name] = await hostSecrets(known.secrets.authority, added, now);
  }
  const named = new Set(looked.map((l) => l.report.name));
  const trusted = [...known.journal.hosts, ...hosts].map((host) =>
    trust !== undefined && named.has(host.name) ? { ...host, trust } : host,
  );
  return {
    journal: { ...known.journal, hosts: trusted },
    secrets: { ...known.secrets, hosts: { ...known.secrets.hosts, ...certificates } },
  };
}

/** What hosts that are new do not change: said when the loss of one host can keep the cluster from rescheduling. */
export function rolesStay(journal: ClusterJournal, joining: ReadonlySet<string>): Finding[] {
  const control = journal.hosts.filter((h) => h.roles.includes('control')).map((h) => h.name);
  const etcd = journal.hosts.filter((h) => h.roles.includes('etcd')).map((h) => h.name);
  const allKnown = [...joining].every((name) => journal.hosts.some((h) => h.name === name));
  if (control.length >= 3 || allKnown) return [];
  return [
    {
      code: 'roles_stay',
      level: 'warning',
      message: `etcd stays on ${etcd.join(', ')} and the control plane on ${control.join(', ')}: new hosts run apps and a router; while ${etcd.join(', ')} is away, apps go on but nothing is rescheduled`,
      hint: 'a cluster that is bootstrapped with three hosts survives the loss of any one',
    },
  ];
}

/** What concerns the new hosts only: what the others cannot reach among themselves is not theirs to mend. */
export function concerning(choices: readonly AddressChoice[], joining: ReadonlySet<string>): AddressChoice[] {
  return choices.map((choice) =>
    joining.has(choice.host)
      ? choice
      : { ...choice, unreachedFrom: choice.unreachedFrom.filter((name) => joining.has(name)) },
  );
}
