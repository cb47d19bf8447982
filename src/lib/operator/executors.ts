// Which step carries out which kind of operation.
import type { SshKey } from '../api/app.js';
import type { Docker } from '../docker/port.js';
import { agentSpec } from './agent.js';
import type { Executor, OperationHandle } from './apply.js';
import {
  guardEtcd,
  join,
  linkTo,
  seed,
  waitForAdmission,
  waitForEtcd,
  waitForGrid,
  waitForMember,
  type ClusterWork,
} from './cluster-steps.js';
import { ensureContainer, findContainer } from './containers.js';
import { etcdContainer, etcdSpec } from './etcd.js';
import { hostDirs, hostFiles } from './host-files.js';
import { configureDocker, installDocker, writeFiles } from './host-steps.js';
import type { FetchedBundle } from './build-bundle.js';
import { loadBundle, missingImages, type ImageBundle, type ImageManifest } from './images.js';
import type { JournalHost } from './journal.js';
import { limiter } from './limiter.js';
import { imageOf } from './omni.js';
import type { OperationKind } from './operation.js';

/** Where the images come from: a bundle that was given, or one that is made on the way. */
export interface ImageSource {
  bundle?: ImageBundle;
  /** What the images are, when that is known before there is a bundle. */
  manifest?: ImageManifest;
  /** Brings the images of a cluster that is up here; for hosts that lack them when there is no bundle. */
  fetch?(progress: (text: string) => void, signal: AbortSignal): Promise<ImageBundle>;
  /** Builds the images with an engine and brings them here. */
  build?(docker: Docker, progress: (text: string) => void, signal: AbortSignal): Promise<FetchedBundle>;
}

/** What the executors work with. */
export interface ExecutorOptions {
  work: Omit<ClusterWork, 'images'>;
  images: ImageSource;
  operatorKeys: readonly SshKey[];
  upTimeoutMs: number;
  /** Writes the local list of clusters; false when nothing changed. */
  remember(): Promise<boolean>;
}

/** Bundles under way at once: they are large, and the way to all hosts is often the same. */
const parallelLoads = 3;
const etcdTimeoutMs = 60_000;
const admissionMs = 60_000;

/** The executors of bootstrap and add-host. */
export function clusterExecutors(options: ExecutorOptions): Record<OperationKind, Executor> {
  const source = options.images;
  const { journal, secrets, clock } = options.work;
  const bundle = (): ImageBundle => {
    if (!source.bundle) throw new Error('the images are not built yet');
    return source.bundle;
  };
  const manifest = (): ImageManifest => source.manifest ?? bundle().manifest;
  const work: ClusterWork = {
    ...options.work,
    get images() {
      return manifest().images;
    },
  };
  let fetching: Promise<ImageBundle> | undefined;
  const loads = limiter(parallelLoads);
  const replacements = limiter(1);
  const on = (handle: OperationHandle): { host: JournalHost; link: ReturnType<typeof linkTo> } => {
    const host = journal.hosts.find((h) => h.name === handle.operation.host);
    if (!host) throw new Error(`${handle.operation.id} names no host of the cluster`);
    return { host, link: linkTo(work, host.name) };
  };
  return {
    'docker.install': (handle) => {
      const { link } = on(handle);
      return installDocker(link.conn, link.docker, clock, handle.progress, handle.signal);
    },
    'docker.configure': (handle) => {
      const { link } = on(handle);
      return configureDocker(link.conn, link.docker, clock, handle.signal);
    },
    'files.write': (handle) => {
      const { host, link } = on(handle);
      return writeFiles(link.conn, hostDirs(journal, host), hostFiles(journal, secrets, host), handle.signal);
    },
    'images.build': async (handle) => {
      const built = await source.build?.(on(handle).link.docker, handle.progress, handle.signal);
      source.bundle = built?.bundle;
      return built?.changed ?? false;
    },
    'images.load': async (handle) => {
      const { link } = on(handle);
      if ((await missingImages(link.docker, manifest())).length === 0) return false;
      if (source.fetch && !source.bundle) {
        // The first host that lacks them has them fetched, for all.
        fetching ??= source.fetch(handle.progress, handle.signal);
        source.bundle = await fetching;
      }
      await loads(() =>
        loadBundle(link.docker, bundle(), (percent) => handle.progress(`images ${percent} %`), handle.signal),
      );
      return true;
    },
    'etcd.start': async (handle) => {
      const { host, link } = on(handle);
      const ensure = (): Promise<boolean> =>
        ensureContainer(link.docker, etcdSpec(journal, host, imageOf(work.images, 'etcd')), handle.signal);
      const running = (await findContainer(link.docker, etcdContainer))?.state === 'running';
      if (!running) return ensure();
      // Members that serve are replaced one after the other: two at once would cost the cluster its quorum.
      return replacements(async () => {
        const changed = await ensure();
        if (changed) await waitForMember(work, host, etcdTimeoutMs, handle.signal);
        return changed;
      });
    },
    'etcd.wait': (handle) => waitForEtcd(work, etcdTimeoutMs, handle.signal),
    'etcd.auth': (handle) => guardEtcd(work, handle.signal),
    'grid.seed': (handle) => seed(work, options.operatorKeys, handle.signal),
    'grid.join': (handle) => join(work, handle.signal),
    'grid.admit': (handle) => waitForAdmission(work, on(handle).host, admissionMs, handle.signal),
    'agent.start': (handle) => {
      const { link } = on(handle);
      return ensureContainer(link.docker, agentSpec(journal, imageOf(work.images, 'host')), handle.signal);
    },
    'grid.wait': (handle) => waitForGrid(work, options.upTimeoutMs, handle.progress, handle.signal),
    'local.remember': () => options.remember(),
  };
}
