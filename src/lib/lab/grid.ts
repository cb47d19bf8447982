// A cluster on a lab: the environment of its command line, and the bootstrap of its hosts as an operator would type it.
import { join } from 'node:path';
import { packageRoot } from '../util/package-root.js';
import type { Lab, LabRef } from './types.js';

/** The lab's hosts share one machine: this is what each of them may book, so that three fit. */
const capacity = { memoryMiB: 4096, cpuMillis: 4000 };

/** Environment in which `flynn` knows the lab's cluster and hosts, and nothing of the person's own. */
export function labEnv(ref: LabRef): Record<string, string> {
  const dir = join(ref.root ?? packageRoot(), '.lab', ref.name ?? 'default');
  return {
    FLYNN_HOME: join(dir, 'flynn'),
    FLYNN_SSH_CONFIG: join(dir, 'ssh_config'),
    // An agent of the person's would offer keys that these hosts do not know.
    SSH_AUTH_SOCK: '',
  };
}

/**
 * Arguments of the bootstrap of all hosts of a lab; without a bundle, the images are built on the first host. The
 * domain is `localhost`: `hello.localhost` opens in a browser.
 */
export function bootstrapArgs(lab: Lab, bundle?: string): string[] {
  return [
    'cluster',
    'bootstrap',
    ...['--name', lab.name, '--domain', 'localhost', ...(bundle ? ['--images', bundle] : []), '--yes'],
    ...['--ssh-config', join(lab.dir, 'ssh_config')],
    ...['--capacity', `${capacity.memoryMiB},${capacity.cpuMillis}`],
    ...lab.hosts.flatMap((host) => ['--internal-address', `${host.name}=${host.address}`]),
    ...lab.hosts.map(({ name }) => name),
  ];
}

/** Bootstraps the lab with the command line that is handed in. Repeating it converges. */
export async function bootstrapLab(
  lab: Lab,
  bundle: string,
  flynn: (args: string[]) => Promise<unknown>,
): Promise<void> {
  await flynn(bootstrapArgs(lab, bundle));
}
