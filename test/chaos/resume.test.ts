// The way to a cluster and back: bootstrap killed at every operation goes on where it stopped, destroy leaves no trace.
import { spawn } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GridStatus } from '../../src/lib/api/app.js';
import {
  bootstrapArgs,
  labBundle,
  labDown,
  labEnv,
  labExec,
  labUp,
  type Lab,
} from '../../src/lib/lab/index.js';
import { command, root, type CliOptions, type Finished } from '../lab/grid.js';

const name = 'resume';
const ref = { root, name };
const program = join(root, 'bin/run.js');
const quiet = () => undefined;

let lab: Lab;
let bundle: string;
let before: string[];

const flynn = (args: string[], options: CliOptions = {}): Promise<Finished> =>
  command(process.execPath, [program, ...args], { ...options, env: labEnv(ref) });

async function ok(args: string[]): Promise<string> {
  const done = await flynn(args);
  expect(done.code, `flynn ${args.join(' ')}\n${done.stdout}${done.stderr}`).toBe(0);
  return done.stdout;
}

/** Runs bootstrap, or another command, and ends it without mercy at the first line that begins so; false when it came to its end first. */
function killedAt(
  line: string,
  args = bootstrapArgs(lab, bundle),
): Promise<{ killed: boolean; said: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...args], {
      env: { ...process.env, ...labEnv(ref), NO_COLOR: '1', CI: '1' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    createInterface({ input: child.stderr }).on('line', (text) => {
      said += `${text}\n`;
      if (text.startsWith(line)) child.kill('SIGKILL');
    });
    child.once('error', reject);
    child.once('close', (_code, signal) => resolve({ killed: signal === 'SIGKILL', said }));
  });
}

interface Plan {
  operations: { id: string; title: string; host?: string }[];
  results?: { id: string; changed: boolean }[];
}

const plan = async (): Promise<Plan> =>
  JSON.parse(await ok([...bootstrapArgs(lab, bundle), '--dry-run', '--json'])) as Plan;

const startLine = ({ host, title }: Plan['operations'][number]): string =>
  `- ${host ? `${host}: ` : ''}${title}`;

/** Ids of the cluster: as this computer wrote it down, and as the host was told. */
async function clusterIds(host = 'a'): Promise<string[]> {
  const journal = await readFile(join(lab.dir, 'flynn', lab.name, 'cluster.json'), 'utf8');
  const file = await labExec(host, ['cat', '/etc/flynn/common/host.json'], ref);
  return [
    (JSON.parse(journal) as { id: string }).id,
    ...(file.code === 0 ? [(JSON.parse(file.stdout) as { cluster: { id: string } }).cluster.id] : []),
  ];
}

async function expectHealthy(...names: string[]): Promise<void> {
  const status = JSON.parse(await ok(['cluster', 'status', '--json'])) as GridStatus;
  expect(status.etcd).toMatchObject({ healthy: true, members: 1 });
  expect(status.hosts.filter(({ alive }) => alive).map((host) => host.name)).toEqual(names);
  expect(status.hosts.flatMap(({ jobs }) => jobs).filter(({ state }) => state !== 'up')).toEqual([]);
}

async function expectNoTrace(): Promise<void> {
  await ok(['cluster', 'destroy', lab.name, '--yes', '--ssh-config', join(lab.dir, 'ssh_config')]);
  expect(difference(before, await snapshot('a'))).toEqual({ left: [], lost: [] });
}

/**
 * Everything of a host that a cluster could leave behind, one fact a line. Left out are counters, the directory that
 * the engine makes when it runs its first container, whosever that is, and tables of a packet filter without a rule.
 */
async function snapshot(host: string): Promise<string[]> {
  const script = String.raw`
    dpkg-query -W -f 'package ${'$'}{Package} ${'$'}{Version} ${'$'}{Status}\n'
    cut -d: -f1,3,7 /etc/passwd /etc/group | sed 's/^/user /'
    find /etc /usr/local /opt /root /srv -xdev \( -path /root/.ssh -o -name resolv.conf \) -prune -o -type f -print0 \
      | sort -z | xargs -0 sha256sum | sed 's/^/file /'
    find /etc /usr/local /opt /root /srv -xdev -printf 'entry %M %u %g %p %l\n' | sort
    find /var/lib /var/log /run /tmp -maxdepth 1 ! -path /run/containerd -printf 'entry %y %p\n' | sort
    for tool in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do
      $tool-save | grep -v -e '^#' -e '^COMMIT' | sed "s/\[[0-9:]*\]//; s/^/rule $tool /"
    done | grep -v -e ' \*' -e ' ACCEPT $'
    ip -o addr show | awk '{print "address", $2, $4}'
    docker ps -a --format 'container {{.Names}}'
    docker volume ls --format 'volume {{.Name}}'
    docker network ls --format 'network {{.Name}} {{.Driver}}'
    docker images -a --no-trunc --format 'image {{.Repository}}:{{.Tag}} {{.ID}}'
    docker info --format 'engine {{.LiveRestoreEnabled}} {{.Driver}} {{.Swarm.LocalNodeState}}'
    ps -eo comm= | grep -v -e '^ps$' -e '^sh$' -e '^sort$' -e '^sed$' -e '^grep$' -e '^sleep$' | sort -u | sed 's/^/process /'
    mount | awk '{print "mount", $3, $5}' | grep -v -e /var/lib/docker/ -e /run/docker | sort
  `;
  const done = await labExec(host, ['sh', '-c', script], ref);
  expect(done.stderr).toBe('');
  return done.stdout.split('\n');
}

const difference = (was: string[], is: string[]) => ({
  left: is.filter((line) => !was.includes(line)),
  lost: was.filter((line) => !is.includes(line)),
});

beforeAll(async () => {
  lab = await labUp({ ...ref, hosts: 1 }, quiet);
  bundle = await labBundle(quiet, { root });
  await rm(join(lab.dir, 'flynn'), { recursive: true, force: true });
  before = await snapshot('a');
});

afterAll(() => (process.env.FLYNN_KEEP_LAB === '1' ? undefined : labDown(ref, quiet)));

describe('a bootstrap that is killed in the middle of the images', () => {
  it('goes on to a healthy cluster', async () => {
    const { killed, said } = await killedAt('- a: images 50 %');
    expect(killed, said).toBe(true);
    const ids = await clusterIds();
    await ok(bootstrapArgs(lab, bundle));
    expect(new Set([...ids, ...(await clusterIds())]).size).toBe(1);
    await expectHealthy('a');
  });

  it('and the destroyed cluster leaves the host as it was before', expectNoTrace);
});

describe('a bootstrap that is killed at the beginning of every operation', () => {
  it('goes on where it stopped, to one healthy cluster', async () => {
    const { operations } = await plan();
    expect(operations.length).toBeGreaterThan(8);
    const ids: string[] = [];
    for (const operation of operations) {
      const { killed, said } = await killedAt(startLine(operation));
      expect(killed, `${operation.id} never began:\n${said}`).toBe(true);
      ids.push(...(await clusterIds()));
    }
    await ok(bootstrapArgs(lab, bundle));
    expect(new Set([...ids, ...(await clusterIds())]).size).toBe(1);
    await expectHealthy('a');
  });

  it('and run once more, changes nothing', async () => {
    const again = JSON.parse(await ok([...bootstrapArgs(lab, bundle), '--json'])) as Plan;
    expect(again.results?.filter(({ changed }) => changed)).toEqual([]);
  });
});

describe('a host that is added', () => {
  const add = (): string[] => [
    'cluster',
    'add-host',
    'b',
    '--yes',
    '--ssh-config',
    join(lab.dir, 'ssh_config'),
  ];

  it('by a command that is killed three times, is part of the same cluster in the end', async () => {
    lab = await labUp({ ...ref, hosts: 2 }, quiet);
    const address = lab.hosts.find((host) => host.name === 'b')!.address;
    const args = [...add(), '--internal-address', `b=${address}`];
    const ids = await clusterIds();
    for (const line of ['- b: images 25 %', '- put the hosts on record', '- b: start the host agent']) {
      const { killed, said } = await killedAt(line, args);
      expect(killed, said).toBe(true);
    }
    await ok(args);
    expect(new Set([...ids, ...(await clusterIds()), ...(await clusterIds('b'))]).size).toBe(1);
    await expectHealthy('a', 'b');
  });

  it('and added again, changes nothing', async () => {
    const again = JSON.parse(await ok([...add(), '--json'])) as Plan;
    expect(again.results?.filter(({ changed }) => changed)).toEqual([]);
  });

  it('under the name of another, is refused', async () => {
    const done = await flynn(['cluster', 'add-host', 'a=b', '--yes']);
    expect(done.code, done.stderr).toBe(4);
  });
});

describe('destroy', () => {
  it('leaves the first host as it was before the cluster', expectNoTrace);
});
