// From a claim and its template to a container: limits, capabilities, ports, environment. Pure.
import type { Claim, JobTemplate } from '../../api/job.js';
import type { ContainerSpec, PortPublish } from '../../docker/port.js';
import { unseal, unwrapKey } from '../../util/seal.js';
import { FlynnError } from '../../api/errors.js';
import { memoryLimitOf } from './exit.js';
import { noGrants, type JobGrants } from './grants.js';
import { flynnEnv, placePorts } from './ports.js';
import { containerName } from './state.js';
import { dockerVolume } from './volumes.js';

/** Labels that tie a container to its job. */
export const labels = {
  job: 'flynn.job',
  owner: 'flynn.owner',
  template: 'flynn.template',
  starts: 'flynn.starts',
  attempts: 'flynn.attempts',
  epoch: 'flynn.epoch',
} as const;

/** Capabilities that an app keeps: what common images need to set up their files, drop to a user and use port 80. */
const appCapabilities = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'KILL', 'NET_BIND_SERVICE', 'SETGID', 'SETUID'];

/** The engine counts cpu in billionths of a core, we in thousandths. */
const nanosPerMilli = 1_000_000;

/** What a container is made from. */
export interface SpecInput {
  job: string;
  claim: Claim;
  template: JobTemplate;
  host: { name: string; address: string };
  /** The decrypted part of the environment. */
  secrets: Record<string, string>;
  starts: number;
  attempts: number;
  /** Of a singleton: never lower than that of any that ran before. */
  epoch?: number;
  grants?: JobGrants;
}

/** The container of a job. Docker never restarts it: the agent does. */
export const containerSpec = (input: SpecInput): ContainerSpec => {
  const { job, claim, template, host, grants = noGrants } = input;
  const onHost = template.network === 'host';
  const memory = memoryLimitOf(template, claim.m);
  return {
    name: containerName(job),
    image: template.image,
    ...(template.entrypoint ? { entrypoint: template.entrypoint } : {}),
    ...(template.args ? { cmd: template.args } : {}),
    env: {
      ...template.env,
      ...input.secrets,
      ...flynnEnv(job, host.name, template),
      ...(input.epoch === undefined ? {} : { FLYNN_EPOCH: String(input.epoch) }),
      ...grants.env,
    },
    labels: {
      [labels.job]: job,
      [labels.owner]: claim.o,
      [labels.template]: claim.t,
      [labels.starts]: String(input.starts),
      [labels.attempts]: String(input.attempts),
      ...(input.epoch === undefined ? {} : { [labels.epoch]: String(input.epoch) }),
    },
    mounts: [
      ...template.mounts.map((mount) =>
        mount.type === 'volume' ? { ...mount, source: dockerVolume(host.name, mount.source) } : mount,
      ),
      ...grants.mounts,
    ],
    ...(grants.dns.length > 0 ? { dns: grants.dns } : {}),
    network: template.network,
    ...(onHost ? {} : { publish: published(template, claim, host.address), hostname: job }),
    ...(memory > 0 ? { memoryBytes: memory, memorySwapBytes: memory } : {}),
    cpuShares: template.cpuShares ?? Math.max(2, Math.round((claim.c * 1024) / 1000)),
    ...(template.cpuLimit === undefined ? {} : { nanoCpus: template.cpuLimit * nanosPerMilli }),
    pidsLimit: template.pidsLimit,
    ...(template.openFiles === undefined
      ? {}
      : { ulimits: [{ name: 'nofile', soft: template.openFiles, hard: template.openFiles }] }),
    restart: 'no',
    noNewPrivileges: true,
    ...capabilities(template),
    // Somebody must bury the orphans: HAProxy's workers, an app's shell children.
    init: true,
    ...(template.user ? { user: template.user } : {}),
    ...(template.workingDir ? { workingDir: template.workingDir } : {}),
    stopTimeout: Math.ceil(template.stopTimeoutMs / 1000),
    // Blocking mode would stop an app on a full pipe when dockerd is dead.
    logDriver: 'json-file',
    logOpts: { mode: 'non-blocking', 'max-size': '10m', 'max-file': '2' },
    healthcheck: 'none',
    tty: template.tty,
    ...(template.attach ? { attachStdin: true, openStdin: true, stdinOnce: true } : {}),
  };
};

const bare = (capability: string): string => capability.toUpperCase().replace(/^CAP_/, '');

/** An app begins with few capabilities, a system job with the engine's; what is dropped is not had, whoever adds it. */
const capabilities = ({
  priority,
  capAdd,
  capDrop = [],
}: JobTemplate): Pick<ContainerSpec, 'capAdd' | 'capDrop'> => {
  const dropped = new Set(capDrop.map(bare));
  const kept = (list: readonly string[]): string[] => list.filter((name) => !dropped.has(bare(name)));
  if (priority === 'user' || dropped.has('ALL')) {
    const base = dropped.has('ALL') ? [] : appCapabilities;
    return { capDrop: ['ALL'], capAdd: kept([...base, ...capAdd]) };
  }
  return { ...(capDrop.length > 0 ? { capDrop } : {}), capAdd: kept(capAdd) };
};

const published = (template: JobTemplate, claim: Claim, address: string): PortPublish[] =>
  placePorts(template, claim).flatMap((port) =>
    port.hostPort === undefined
      ? []
      : [{ hostIp: address, hostPort: port.hostPort, containerPort: port.container, proto: port.proto }],
  );

/** The decrypted environment of a job, empty when it has none. Throws `invalid` when it cannot be read on this host. */
export const openSecrets = (
  template: Pick<JobTemplate, 'sealedEnv'>,
  claim: Pick<Claim, 'k'>,
  wrapPrivateKey: string,
): Record<string, string> => {
  const { sealedEnv } = template;
  if (!sealedEnv) return {};
  try {
    if (!claim.k) throw new Error('the claim carries no key');
    const text = unseal(unwrapKey(wrapPrivateKey, claim.k), sealedEnv.data, sealedEnv.keyId).toString('utf8');
    const record = JSON.parse(text) as Record<string, unknown>;
    return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, String(value)]));
  } catch (cause) {
    throw new FlynnError({
      code: 'invalid',
      message: `its environment (key ${sealedEnv.keyId}) cannot be decrypted on this host`,
      hint: 'deploy again: a new release is sealed to the hosts as they are now',
      cause,
    });
  }
};
