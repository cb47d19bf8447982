// Images for a lab's hosts: the appliances' bundle built with the machine's engine, and images of apps to try.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { FlynnError } from '../api/errors.js';
import { ensureBaseImages } from './base-images.js';
import { dockerAny } from './docker-cli.js';
import { ensureEngine } from './engine.js';
import { buildImage } from './images.js';
import { packageRoot } from '../util/package-root.js';
import type { Lab, LabReport } from './types.js';

/** Builds the appliances' images if they are not there, and their bundle; returns the bundle's file. */
export async function labBundle(
  report: LabReport,
  options: { root?: string; signal?: AbortSignal } = {},
): Promise<string> {
  const root = options.root ?? packageRoot();
  await ensureEngine(report, options.signal);
  await ensureBaseImages(report, options.signal);
  // Loaded here: dockerode would slow every command of the lab down.
  const [{ openDocker }, { buildSystemImages, saveBundle }] = await Promise.all([
    import('../docker/index.js'),
    import('../operator/system-images.js'),
  ]);
  const docker = openDocker();
  try {
    const manifest = await buildSystemImages(docker, {
      root,
      onProgress: (message) => report({ code: 'image.build', message }),
      signal: options.signal,
    });
    const file = join(root, '.lab', 'images.tar');
    if (await saveBundle(docker, manifest, file)) report({ code: 'image.save', message: `wrote ${file}` });
    return file;
  } finally {
    docker.close();
  }
}

/** Builds an image from a folder with the machine's engine and loads it into the engine of every host of the lab that lacks it. */
export async function labImage(
  lab: Lab,
  contextDir: string,
  tag: string,
  report: LabReport,
  signal?: AbortSignal,
): Promise<void> {
  report({
    code: 'image.build',
    message: `building ${tag} and loading it on ${lab.hosts.map(({ name }) => name).join(', ')}`,
  });
  const id = await buildImage(contextDir, tag, { signal });
  await Promise.all(
    lab.hosts.map(async ({ container }) => {
      if (!(await hasImage(container, tag, id, signal))) await load([tag], container, signal);
    }),
  );
}

/** Whether the engine inside a host has the image under that tag. */
async function hasImage(container: string, tag: string, id: string, signal?: AbortSignal): Promise<boolean> {
  const inspect = ['exec', container, 'docker', 'image', 'inspect', '-f', '{{.Id}}', tag];
  const found = await dockerAny(inspect, { signal });
  return found.code === 0 && found.stdout.trim() === id;
}

/** Loads the base images into the engine of every host of a lab, as a mirror would provide them where nothing can be pulled. */
export async function labBaseImages(lab: Lab, report: LabReport, signal?: AbortSignal): Promise<void> {
  const { debian, node } = await ensureBaseImages(report, signal);
  await Promise.all(lab.hosts.map((host) => load([debian.tag, node.tag], host.container, signal)));
}

/** `docker save TAG… | docker exec -i HOST docker load`, without a shell. */
async function load(tags: readonly string[], container: string, signal?: AbortSignal): Promise<void> {
  const save = spawn('docker', ['save', ...tags], { stdio: ['ignore', 'pipe', 'inherit'], signal });
  const into = spawn('docker', ['exec', '-i', container, 'docker', 'load'], {
    stdio: [save.stdout, 'ignore', 'inherit'],
    signal,
  });
  const [saved, loaded] = await Promise.all([save, into].map((child) => ended(child)));
  if (saved !== 0 || loaded !== 0) {
    throw new FlynnError({
      code: 'failed',
      message: `${tags.join(', ')} could not be loaded on ${container.slice(0, 12)}`,
    });
  }
}

function ended(child: ReturnType<typeof spawn>): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    // Not `close`: the stdout that was handed on to the other child is never ours to read to its end.
    child.once('exit', (code) => resolve(code ?? 1));
  });
}
