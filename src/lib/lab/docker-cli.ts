// The machine's Docker engine, driven through its command line: the lab's only way to it.
import { run, runAny, type Finished, type RunOptions } from './process.js';

// The classic builder is in every engine and takes local base images as they are; buildx may be absent.
const env = { DOCKER_BUILDKIT: '0', DOCKER_CLI_HINTS: 'false' };

/** Runs `docker ARGS`; returns stdout without the last newline. Throws `failed` on a non-zero exit code. */
export const docker = async (args: readonly string[], opts: RunOptions = {}): Promise<string> =>
  (await run('docker', args, { ...opts, env: { ...env, ...opts.env } })).trimEnd();

/** Runs `docker ARGS` and returns its exit code and output. Throws only when it cannot run or takes too long. */
export const dockerAny = (args: readonly string[], opts: RunOptions = {}): Promise<Finished> =>
  runAny('docker', args, { ...opts, env: { ...env, ...opts.env } });

/** True when an engine answers within 5 s. */
export const engineAnswers = async (signal?: AbortSignal): Promise<boolean> => {
  const probe = await dockerAny(['version', '--format', '{{.Server.APIVersion}}'], {
    timeoutMs: 5_000,
    signal,
  }).catch(() => undefined);
  return probe?.code === 0 && probe.stdout.trim() !== '';
};

/** Id of a local image, or undefined when there is none of that name. */
export const imageId = async (tag: string, signal?: AbortSignal): Promise<string | undefined> => {
  const found = await dockerAny(['image', 'inspect', '--format', '{{.Id}}', tag], { signal });
  return found.code === 0 ? found.stdout.trim() : undefined;
};
