// The exact list of Flynn's processes on an idle host: "thin" is a promise.
import { basename } from 'node:path';
import { labExec, type LabRef } from '../../src/lib/lab/index.js';

/** Processes by container; each as its program and what it was started to be. */
export type Processes = Record<string, string[]>;

/** What a host carries that runs jobs and nothing else. */
export const workerProcesses: Processes = {
  dns: ['dnsmasq', 'docker-init'],
  host: ['node host'],
  router: ['docker-init', 'haproxy', 'haproxy', 'node router', 'router-entry'],
};

/** A control host carries these beside. */
export const controlProcesses: Processes = {
  ...workerProcesses,
  controller: ['docker-init', 'node controller'],
  etcd: ['etcd'],
  gateway: ['docker-init', 'node gateway'],
  registry: ['docker-init', 'docker-registry'],
  sampi: ['docker-init', 'node sampi'],
};

/** Every process in every container of a host, app or not, as its Docker tells. */
export async function flynnProcesses(host: string, ref: LabRef): Promise<Processes> {
  const script = String.raw`
    for id in $(docker ps -q); do
      docker inspect -f '= {{or (index .Config.Labels "flynn.owner") (index .Config.Labels "flynn.system")}}' "$id"
      docker top "$id" -eo pid,args | tail -n +2
    done`;
  const { stdout } = await labExec(host, ['sh', '-c', script], ref);
  const found: Processes = {};
  let container = '';
  for (const line of stdout.trim().split('\n')) {
    if (line.startsWith('= ')) found[(container = line.slice(2).replace('omni/', '').trim())] = [];
    else found[container]?.push(normal(line.trim().replace(/^\d+ /, '')));
  }
  for (const list of Object.values(found)) list.sort();
  return found;
}

/** The program's name; of node and of a shell the name of what it runs. */
function normal(args: string): string {
  const [program = '', ...words] = args.trim().split(/\s+/);
  const name = basename(program);
  const [first = '', second = ''] = words.filter((word) => !word.startsWith('-'));
  if (name === 'node') return basename(first) === 'appliance.js' ? `node ${second}` : `node ${first}`;
  return name === 'sh' ? basename(first) : name;
}
