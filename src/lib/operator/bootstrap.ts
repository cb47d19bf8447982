// Bootstrap: named hosts become a cluster. Look first, judge all of it, show the plan, write the journal, carry it out.
import { resolve } from 'node:path';
import type { SshKey } from '../api/app.js';
import type { AddressChoice } from './addresses.js';
import { apply, type OperationResult } from './apply.js';
import {
  gatewayPort,
  httpsPort,
  localCluster,
  newCluster,
  sameHosts,
  type Looked,
} from './cluster-record.js';
import { connectAll, readTargets, type ReachOptions } from './connect.js';
import { formatClusterString, saveCluster, type LocalCluster } from './context.js';
import { clusterExecutors, type ImageSource } from './executors.js';
import { buildBundle } from './build-bundle.js';
import { openBundle, type ImageBundle } from './images.js';
import { judge, type Finding, type JudgedDomain } from './judge.js';
import { loadJournal, saveJournal, type ClusterJournal, type ClusterSecrets } from './journal.js';
import { linkAll, lookAt, pinOf, refuse } from './look.js';
import type { HostLink } from './links.js';
import type { Operation } from './operation.js';
import { planBootstrap } from './plan.js';
import type { OperatorPorts } from './ports.js';
import { findAddresses } from './preflight.js';

/** What bootstrap is told. */
export interface BootstrapOptions {
  name: string;
  /** Absent: `<public-ip>.sslip.io`. */
  domain?: string;
  /** `[name=]user@host[:port]` or ssh_config aliases. */
  hosts: readonly string[];
  reach: ReachOptions;
  /** Internal addresses by host name, as the operator says them. */
  internalAddresses: ReadonlyMap<string, string>;
  /** Path of an image bundle; absent: the images are built on the first host. */
  images?: string;
  httpPort: number;
  /** Capacity of every host's book in place of what the machine has. */
  capacity?: { memoryMiB: number; cpuMillis: number };
  allowPublicPlaintext: boolean;
  /** A grid without the platform: no controller, gateway, router, registry. */
  layer0: boolean;
  /** PEM certificates of authorities that system images and builds of apps trust beside the usual ones. */
  trust?: string;
  /** Keys that may use the cluster from the start, as admins. */
  operatorKeys: readonly SshKey[];
  /** Private key file that belongs to the first of them, when it is one: the cluster is used with it from here. */
  identity?: string;
  dryRun: boolean;
  /** Asked before the first change, with the plan; throws to stop. */
  confirm(operations: readonly Operation[]): Promise<void>;
  /** Bound of the wait for appliances, ms. Default 120,000. */
  upTimeoutMs?: number;
  signal: AbortSignal;
}

/** What bootstrap did, or would do. */
export interface BootstrapResult {
  cluster: LocalCluster;
  /** The FLYNN_CLUSTER string; absent where there is Layer 0 alone, which has no gateway. */
  string?: string;
  findings: Finding[];
  addresses: AddressChoice[];
  operations: Operation[];
  /** Absent after a dry run. */
  results?: OperationResult[];
}

/** Brings the hosts to a healthy cluster, or goes on where an earlier run stopped. Throws coded errors. */
export async function bootstrap(ports: OperatorPorts, options: BootstrapOptions): Promise<BootstrapResult> {
  const { signal } = options;
  const known = await loadJournal(ports.home, options.name);
  const bundle = options.images === undefined ? undefined : await openBundle(options.images);
  const targets = await readTargets(options.hosts, options.reach.sshConfig);
  ports.reporter.event({
    type: 'phase',
    text: `looking at ${targets.length} host${targets.length === 1 ? '' : 's'}`,
  });
  const conns = await connectAll(
    ports,
    targets.map(({ target }) => ({ target, ...pinOf(known?.journal, target) })),
    options.reach,
    signal,
  );
  try {
    const looked = await lookAt(ports, targets, conns, known?.journal, signal);
    const addresses = known
      ? known.journal.hosts.map((h) => ({
          host: h.name,
          address: h.address,
          why: 'as before',
          unreachedFrom: [],
        }))
      : await findAddresses(
          looked.map(({ conn, report }) => ({
            name: report.name,
            conn,
            facts: report.facts,
            ...given(options, report.name),
          })),
          signal,
        );
    const domain = known?.journal.domain ?? options.domain ?? defaultDomain(looked);
    const findings = judge(
      looked.map((l) => l.report),
      {
        cluster: { name: options.name, ...(known ? { id: known.journal.id } : {}) },
        ports: { http: known?.journal.httpPort ?? options.httpPort, https: httpsPort, gateway: gatewayPort },
        choices: addresses,
        ...(known ? { roles: new Map(known.journal.hosts.map((h) => [h.name, h.roles])) } : {}),
        allowPublicPlaintext: options.allowPublicPlaintext,
        ...(options.layer0 ? { layer0: true } : { domain: await judged(ports, domain, looked) }),
      },
    );
    for (const finding of findings) ports.reporter.event({ type: 'finding', finding });
    refuse(findings);
    const { journal, secrets } = known
      ? { journal: sameHosts(known.journal, looked, options), secrets: known.secrets }
      : await newCluster(ports, options, looked, addresses, domain);
    const operations = planBootstrap({
      journal,
      secrets,
      facts: new Map(looked.map((l) => [l.report.name, l.report.facts])),
      images: bundle?.manifest.images,
    });
    const cluster = localCluster(journal);
    const string = journal.layer0 ? {} : { string: formatClusterString(cluster) };
    const planned = { cluster, ...string, findings, addresses, operations };
    if (options.dryRun) return planned;
    await options.confirm(operations);
    // From here on a kill at any moment must find the same ids and keys again.
    await saveJournal(ports.home, journal, secrets);
    const links = await linkAll(ports, looked);
    const results = await carryOut(ports, options, { journal, secrets, links, bundle, operations });
    return { ...planned, results };
  } finally {
    await Promise.all(conns.map((conn) => conn.close()));
  }
}

function given(options: BootstrapOptions, name: string): { given?: string } {
  const address = options.internalAddresses.get(name);
  return address === undefined ? {} : { given: address };
}

async function judged(ports: OperatorPorts, name: string, looked: readonly Looked[]): Promise<JudgedDomain> {
  const isDefault = name === defaultDomain(looked);
  const publicAddresses = looked.map((l) => l.publicAddress);
  return { name, isDefault, publicAddresses, resolved: isDefault ? [] : await ports.resolve(name) };
}

function defaultDomain(looked: readonly Looked[]): string {
  return `${(looked[0]?.publicAddress ?? '127.0.0.1').replaceAll(':', '-')}.sslip.io`;
}

async function carryOut(
  ports: OperatorPorts,
  options: BootstrapOptions,
  work: {
    journal: ClusterJournal;
    secrets: ClusterSecrets;
    links: ReadonlyMap<string, HostLink>;
    bundle: ImageBundle | undefined;
    operations: readonly Operation[];
  },
): Promise<OperationResult[]> {
  const { journal, secrets, links, bundle } = work;
  const source: ImageSource = {
    ...(bundle ? { bundle } : {}),
    build: (docker, progress, signal) =>
      buildBundle(docker, ports.home, journal.trust ?? '', progress, signal),
  };
  const executors = clusterExecutors({
    work: { journal, secrets, links, clock: ports.clock },
    images: source,
    operatorKeys: options.operatorKeys,
    upTimeoutMs: options.upTimeoutMs ?? 120_000,
    remember: async () => {
      const complete = journal.state === 'complete';
      await saveJournal(ports.home, {
        ...journal,
        state: 'complete',
        ...(source.bundle ? { images: source.bundle.manifest, bundle: resolve(source.bundle.tar) } : {}),
      });
      await saveCluster(ports.home, localCluster(journal), !complete);
      return !complete;
    },
  });
  try {
    return await apply(work.operations, {
      executors,
      reporter: ports.reporter,
      clock: ports.clock,
      signal: options.signal,
    });
  } finally {
    for (const link of links.values()) link.docker.close();
  }
}
