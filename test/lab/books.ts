// The books of the grid, as sampi shows them, beside the claims and what the hosts' own Docker runs.
import { isDeepStrictEqual } from 'node:util';
import { ports } from '../../src/lib/api/grid.js';
import { Claim } from '../../src/lib/api/job.js';
import { keys, partsAfter } from '../../src/lib/api/keys.js';
import { GridView } from '../../src/lib/api/sampi.js';
import { hostPaths } from '../../src/lib/appliance/config.js';
import { labExec } from '../../src/lib/lab/index.js';
import { hosts, labName, root } from './grid.js';

const ref = { root, name: labName };

/** What claims or containers take of a host: MiB, millicores, host ports, by job. */
export interface Taken {
  m: number;
  c: number;
  ports: number[];
  jobs: string[];
}

interface Container {
  Config: { Labels: Record<string, string> };
  HostConfig: {
    Memory: number;
    CpuShares: number;
    PortBindings: Record<string, { HostPort: string }[]> | null;
  };
}

const file = (path: string): string => `${hostPaths.config}/${path}`;
const [ca, cert, key] = ['common/ca.crt', 'control/control.crt', 'control/control.key'].map(file);

/** Runs a command on the first host and reads its JSON. */
async function json(argv: string[]): Promise<unknown> {
  const done = await labExec(hosts()[0]!.name, argv, ref);
  if (done.code !== 0) throw new Error(`${argv[0]} ended with ${done.code}: ${done.stderr}`);
  return JSON.parse(done.stdout);
}

/** Sampi's one consistent view, asked with the control plane's certificate. */
async function gridView(): Promise<GridView> {
  const url = `https://${hosts()[0]!.address}:${ports.sampi}/v1/view`;
  return GridView.parse(
    await json(['curl', '-sS', '-m', '10', '--cacert', ca!, '--cert', cert!, '--key', key!, url]),
  );
}

/** The claims of every host, straight from the store. */
async function claimsByHost(): Promise<Map<string, Record<string, Claim>>> {
  const etcd = '$(docker inspect -f "{{.Config.Image}}" flynn-etcd)';
  const run = `docker run --rm --network host -v ${hostPaths.config}:${hostPaths.config}:ro -e ETCDCTL_API=3 --entrypoint etcdctl ${etcd}`;
  const url = `https://127.0.0.1:${ports.etcdClient}`;
  const get = `--endpoints ${url} --cacert ${ca} --cert ${cert} --key ${key} get --prefix ${keys.claims} -w json`;
  const { kvs = [] } = (await json(['sh', '-c', `${run} ${get}`])) as {
    kvs?: { key: string; value: string }[];
  };
  const text = (base64: string): string => Buffer.from(base64, 'base64').toString('utf8');
  const found = new Map(hosts().map(({ name }): [string, Record<string, Claim>] => [name, {}]));
  for (const kv of kvs) {
    const [host = '', job = ''] = partsAfter(keys.claims, text(kv.key));
    found.get(host)![job] = Claim.parse(JSON.parse(text(kv.value)));
  }
  return found;
}

/** Running containers of jobs on a host, as `docker inspect` tells. */
async function containersOn(host: string): Promise<Container[]> {
  const script = 'docker ps -q --filter label=flynn.job | xargs -r docker inspect';
  const { stdout } = await labExec(host, ['sh', '-c', script], ref);
  return stdout.trim() === '' ? [] : (JSON.parse(stdout) as Container[]);
}

const total = (values: number[]): number => values.reduce((sum, value) => sum + value, 0);

function ofClaims(claims: Readonly<Record<string, Claim>>, owner = ''): Taken {
  const found = Object.entries(claims).filter(([, claim]) => claim.o.startsWith(owner));
  return {
    m: total(found.map(([, { m }]) => m)),
    c: total(found.map(([, { c }]) => c)),
    ports: found.flatMap(([, { p }]) => p).sort((a, b) => a - b),
    jobs: found.map(([job]) => job).sort(),
  };
}

function ofContainers(containers: readonly Container[], owner = ''): Taken {
  const found = containers.filter(({ Config }) => Config.Labels['flynn.owner']?.startsWith(owner));
  const bindings = found.flatMap(({ HostConfig }) => Object.values(HostConfig.PortBindings ?? {}).flat());
  return {
    m: total(found.map(({ HostConfig }) => HostConfig.Memory / 1024 / 1024)),
    // 1,024 shares are one core.
    c: total(found.map(({ HostConfig }) => Math.round((HostConfig.CpuShares * 1000) / 1024))),
    ports: bindings.map(({ HostPort }) => Number(HostPort)).sort((a, b) => a - b),
    jobs: found.map(({ Config }) => Config.Labels['flynn.job']!).sort(),
  };
}

/** What an app takes of each host by its claims, and every difference between books, claims and containers. */
export async function audit(app: string): Promise<{ taken: Taken[]; differences: string[] }> {
  const [view, claimsOf] = await Promise.all([gridView(), claimsByHost()]);
  const owner = `app/${app}/`;
  const differences: string[] = [];
  const taken: Taken[] = [];
  for (const { name } of hosts()) {
    const { book } = view.hosts[name]!;
    const claims = claimsOf.get(name)!;
    const containers = await containersOn(name);
    const claimed = ofClaims(claims);
    const compare = (what: string, one: unknown, other: unknown): void => {
      if (!isDeepStrictEqual(one, other))
        differences.push(`${name}: ${what}: ${JSON.stringify(one)} is not ${JSON.stringify(other)}`);
    };
    compare(
      'the book and the sum of its claims',
      [book.used, book.ports, book.jobs],
      [{ m: claimed.m, c: claimed.c }, claimed.ports, claimed.jobs.length],
    );
    // Of appliances, limit and reservation are apart, and their ports are the host's.
    compare('claims and containers of apps', ofClaims(claims, 'app/'), ofContainers(containers, 'app/'));
    compare('all claims and all containers', claimed.jobs, ofContainers(containers).jobs);
    taken.push(ofClaims(claims, owner));
  }
  return { taken, differences };
}
