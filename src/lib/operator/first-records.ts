// The first records of a cluster and of a host that joins one, from the journal. Pure.
import type { SshKey } from '../api/app.js';
import type { ClusterConfig } from '../api/grid.js';
import { JobTemplate } from '../api/job.js';
import type { SeedGridInput, SeedHostInput } from '../seed/protocol.js';
import type { ClusterJournal, ClusterSecrets, JournalHost } from './journal.js';
import { omniJobs } from './omni.js';
import { systemReserve } from './roles.js';

const MiB = 1024 * 1024;

/** The first records of the cluster, as values. */
export function seedOf(
  journal: ClusterJournal,
  secrets: ClusterSecrets,
  images: Readonly<Record<string, string>>,
  sshKeys: readonly SshKey[],
): SeedGridInput {
  const cluster: ClusterConfig = {
    id: journal.id,
    name: journal.name,
    domain: journal.domain,
    createdAt: journal.createdAt,
    httpPort: journal.httpPort,
    httpsPort: journal.httpsPort,
    gatewayPort: journal.gatewayPort,
    gatewayFingerprint: journal.gatewayFingerprint,
    images: { ...images },
  };
  return {
    cluster,
    hosts: journal.hosts.map((host) => seedHostOf(journal, secrets, host)),
    omnis: omniJobs(images, journal, journal.layer0).map(({ template, ...omni }) => ({
      ...omni,
      template: JobTemplate.parse(template),
    })),
    // People's keys are for gateways.
    sshKeys: journal.layer0 ? [] : [...sshKeys],
  };
}

/** The first records of a host, as values. */
export function seedHostOf(
  journal: ClusterJournal,
  secrets: ClusterSecrets,
  host: JournalHost,
): SeedHostInput {
  return {
    info: {
      name: host.name,
      address: host.address,
      publicAddress: host.publicAddress,
      roles: host.roles,
      arch: host.arch,
      wrapKey: secrets.hosts[host.name]?.wrap.publicKey ?? '',
      cpuMillis: journal.capacity?.cpuMillis ?? host.cpuMillis,
      memoryBytes: journal.capacity ? journal.capacity.memoryMiB * MiB : host.memoryBytes,
      joinedAt: host.joinedAt ?? journal.createdAt,
    },
    capacity: journal.capacity
      ? { m: journal.capacity.memoryMiB, c: journal.capacity.cpuMillis }
      : {
          m: Math.max(0, Math.floor(host.memoryBytes / MiB) - systemReserve.memoryMiB),
          c: Math.max(0, host.cpuMillis - systemReserve.cpuMillis),
        },
  };
}
