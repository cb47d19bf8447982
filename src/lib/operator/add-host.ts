// Add-host: plain hosts become workers of a cluster that this computer knows. The machinery is bootstrap's.
import { resolve } from 'node:path';
import { FlynnError } from '../api/errors.js';
import { canonicalJson } from '../api/template.js';
import type { AddressChoice } from './addresses.js';
import { apply, type OperationResult } from './apply.js';
import { localCluster, type Looked } from './cluster-record.js';
import { linkTo } from './cluster-steps.js';
import { connectAll, readTargets, type ReachOptions } from './connect.js';
import { loadClusters, saveCluster, type LocalCluster } from './context.js';
import { clusterExecutors, type ImageSource } from './executors.js';
import { imagesOf, type ClusterImages } from './cluster-images.js';
import { checkNames, concerning, rolesStay, withHosts } from './join.js';
import { judge, type Finding } from './judge.js';
import { loadJournal, saveJournal, type ClusterJournal, type ClusterSecrets } from './journal.js';
import { fetchBundle } from './build-bundle.js';
import { connectOthers, linkAll, lookAt, pinOf, refuse } from './look.js';
import type { Operation } from './operation.js';
import { planJoin } from './plan.js';
import type { OperatorPorts } from './ports.js';
import { findAddresses } from './preflight.js';
import type { HostRole } from './roles.js';

/** What add-host is told. */
export interface AddHostOptions {
  /** Name of the cluster on this computer. */
  cluster: string;
  /** `[name=]user@host[:port]` or ssh_config aliases. */
  hosts: readonly string[];
  reach: ReachOptions;
  /** Internal addresses by host name, as the operator says them. */
  internalAddresses: ReadonlyMap<string, string>;
  /** Path of the image bundle; absent: the one that the cluster was made from, else the images of its hosts. */
  images?: string;
  allowPublicPlaintext: boolean;
  /** PEM certificates that builds on these hosts trust; absent: the ones of bootstrap. */
  trust?: string;
  dryRun: boolean;
  /** Asked before the first change, with the plan; throws to stop. */
  confirm(operations: readonly Operation[]): Promise<void>;
  /** Bound of the wait for appliances, ms. Default 120,000. */
  upTimeoutMs?: number;
  signal: AbortSignal;
}

/** What add-host did, or would do. */
export interface AddHostResult {
  cluster: LocalCluster;
  /** Names of the hosts that were named. */
  hosts: string[];
  findings: Finding[];
  addresses: AddressChoice[];
  operations: Operation[];
  /** Absent after a dry run. */
  results?: OperationResult[];
}

/** Makes the hosts part of the cluster, or goes on where an earlier run stopped. Throws coded errors. */
export async function addHosts(ports: OperatorPorts, options: AddHostOptions): Promise<AddHostResult> {
  const { signal } = options;
  const known = await knownCluster(ports.home, options.cluster);
  const source = await imagesOf(known.journal, options.images);
  const targets = await readTargets(options.hosts, options.reach.sshConfig);
  const many = `${targets.length} host${targets.length === 1 ? '' : 's'}`;
  ports.reporter.event({ type: 'phase', text: `looking at ${many} and at the cluster ${options.cluster}` });
  const conns = await connectAll(
    ports,
    targets.map(({ target }) => ({ target, ...pinOf(known.journal, target) })),
    options.reach,
    signal,
  );
  try {
    const looked = await lookAt(ports, targets, conns, known.journal, signal);
    checkNames(known.journal, looked);
    const joining = new Set(looked.map((l) => l.report.name));
    const others = await connectOthers(ports, known.journal, joining, options.reach, signal);
    conns.push(...others.looked.map((l) => l.conn));
    const addresses = await chosenAddresses(known.journal, looked, others.looked, options);
    const findings = [
      ...judge(
        looked.map((l) => l.report),
        {
          cluster: { name: known.journal.name, id: known.journal.id },
          ports: {
            http: known.journal.httpPort,
            https: known.journal.httpsPort,
            gateway: known.journal.gatewayPort,
          },
          choices: concerning(addresses, joining),
          allowPublicPlaintext: options.allowPublicPlaintext,
          ...(known.journal.layer0 ? { layer0: true } : {}),
          roles: new Map(looked.map((l) => [l.report.name, rolesIn(known.journal, l.report.name)])),
          joining: true,
        },
      ),
      ...others.findings,
      ...rolesStay(known.journal, joining),
    ];
    for (const finding of findings) ports.reporter.event({ type: 'finding', finding });
    refuse(findings);
    const { journal, secrets } = await withHosts(known, looked, addresses, ports.clock.now(), options.trust);
    const all = [...looked, ...others.looked];
    const control = all.find((l) => rolesIn(journal, l.report.name).includes('control'))?.report.name;
    if (control === undefined) {
      throw new FlynnError({
        code: 'unreachable',
        message: `no control host of the cluster ${journal.name} can be reached`,
        hint: 'flynn cluster status',
      });
    }
    const operations = planJoin({
      journal,
      secrets,
      facts: new Map(looked.map((l) => [l.report.name, l.report.facts])),
      images: source.manifest.images,
      joining: [...joining],
      ...(source.bundle ? {} : { fetchFrom: control }),
    });
    const cluster = localCluster(journal);
    const planned = { cluster, hosts: [...joining], findings, addresses, operations };
    if (options.dryRun) return planned;
    await options.confirm(operations);
    // From here on a kill at any moment must find the same names and keys again.
    await saveJournal(ports.home, journal, secrets);
    const results = await carryOut(ports, options, {
      ...{ journal, secrets, source, control, joining, all, operations },
    });
    return { ...planned, results };
  } finally {
    await Promise.all(conns.map((conn) => conn.close()));
  }
}

async function knownCluster(
  home: string,
  name: string,
): Promise<{ journal: ClusterJournal; secrets: ClusterSecrets }> {
  const known = await loadJournal(home, name);
  if (!known) {
    throw new FlynnError({
      code: 'not_found',
      message: `this computer has no keys of the cluster ${name}`,
      hint: `run it where the cluster was bootstrapped (its ${home}/${name})`,
    });
  }
  if (known.journal.state !== 'complete') {
    throw new FlynnError({
      code: 'conflict',
      message: `the bootstrap of the cluster ${name} has not come to its end`,
      hint: `flynn cluster bootstrap --name ${name} ${known.journal.hosts.map((h) => h.name).join(' ')}`,
    });
  }
  return known;
}

const rolesIn = (journal: ClusterJournal, name: string): HostRole[] =>
  journal.hosts.find((h) => h.name === name)?.roles ?? [];

/** An address for each new host that every connected host reaches; the others keep theirs. */
function chosenAddresses(
  journal: ClusterJournal,
  looked: readonly Looked[],
  others: readonly Looked[],
  options: AddHostOptions,
): Promise<AddressChoice[]> {
  return findAddresses(
    [...looked, ...others].map(({ conn, report }) => {
      const { name, facts } = report;
      const given =
        journal.hosts.find((h) => h.name === name)?.address ?? options.internalAddresses.get(name);
      return { name, conn, facts, ...(given === undefined ? {} : { given }) };
    }),
    options.signal,
  );
}

async function carryOut(
  ports: OperatorPorts,
  options: AddHostOptions,
  work: {
    journal: ClusterJournal;
    secrets: ClusterSecrets;
    source: ClusterImages;
    /** Control host that images are fetched from. */
    control: string;
    joining: ReadonlySet<string>;
    all: readonly Looked[];
    operations: readonly Operation[];
  },
): Promise<OperationResult[]> {
  const { journal, secrets, joining } = work;
  const { manifest, bundle } = work.source;
  const links = await linkAll(ports, work.all);
  const images: ImageSource = {
    manifest,
    ...(bundle ? { bundle } : {}),
    fetch: async (progress) => {
      const { docker } = linkTo({ links }, work.control);
      return (await fetchBundle(docker, manifest, ports.home, progress)).bundle;
    },
  };
  try {
    const executors = clusterExecutors({
      work: { journal, secrets, links, clock: ports.clock, joining: [...joining] },
      images,
      operatorKeys: [],
      upTimeoutMs: options.upTimeoutMs ?? 120_000,
      remember: () => remember(ports.home, journal, images),
    });
    const { reporter, clock } = ports;
    return await apply(work.operations, { executors, reporter, clock, signal: options.signal });
  } finally {
    for (const link of links.values()) link.docker.close();
  }
}

/** Brings the journal and the local list of clusters up to date; false when they were. */
async function remember(home: string, journal: ClusterJournal, { bundle }: ImageSource): Promise<boolean> {
  if (bundle) {
    await saveJournal(home, { ...journal, images: bundle.manifest, bundle: resolve(bundle.tar) });
  }
  const before = (await loadClusters(home)).clusters[journal.name];
  const cluster = localCluster(journal);
  if (before && canonicalJson(before) === canonicalJson(cluster)) return false;
  await saveCluster(home, cluster, false);
  return true;
}
