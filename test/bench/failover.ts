// A worker freezes: Flynn beside Docker Swarm on the same three hosts, until all replicas run on the others.
import { labExec, labImage, pauseHost, unpauseHost, type Lab } from '../../src/lib/lab/index.js';
import { join } from 'node:path';
import { bootstrap, endLab, flynn, freshLab, labName, median, result, root, rounded, say } from './bench.js';

const rounds = 3;
const replicas = 3;
const image = 'hello:1';
const app = 'steady';
const ref = { root, name: labName };
/** How long one round may take, ms: a peer that needs longer has lost it anyway. */
const patienceMs = 120_000;

const { lab, bundle } = await freshLab(3);
try {
  await labImage(lab, join(root, 'templates/examples/hello'), image, ({ message }) => say(`  ${message}`));
  const swarm = await measure(lab, 'swarm', await startSwarm(lab));
  await endSwarm(lab);
  await bootstrap(lab, bundle);
  const flynns = await measure(lab, 'flynn', await startFlynn());
  result('failover', {
    flynn_s: rounded(median(flynns), 1),
    flynn_worst_s: rounded(Math.max(...flynns), 1),
    swarm_s: rounded(median(swarm), 1),
    swarm_worst_s: rounded(Math.max(...swarm), 1),
    ratio: rounded(median(flynns) / median(swarm)),
  });
} finally {
  await endLab();
}

/** Freezes the last host again and again; seconds until the observer counts all replicas on the others. */
async function measure(lab: Lab, who: string, filter: string[]): Promise<number[]> {
  const [first, ...rest] = lab.hosts.map(({ name }) => name);
  const frozen = rest.at(-1)!;
  const others = [first!, ...rest.slice(0, -1)];
  await until(`${who}: a replica on each host`, async () => {
    const counts = await Promise.all([...others, frozen].map((host) => running(host, filter)));
    return counts.every((count) => count === 1);
  });
  const took: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    const started = performance.now();
    await pauseHost(frozen, ref);
    try {
      await until(`${who}: ${replicas} replicas without ${frozen}`, async () => {
        const counts = await Promise.all(others.map((host) => running(host, filter)));
        return counts.reduce((sum, count) => sum + count, 0) >= replicas;
      });
      took.push((performance.now() - started) / 1000);
      say(`${who}: round ${round}, all replicas run elsewhere ${took.at(-1)!.toFixed(1)} s after the freeze`);
    } finally {
      await unpauseHost(frozen, ref);
    }
    await spreadAgain(who, [...others, frozen], filter);
  }
  return took;
}

/** Both sides start each round with one replica on each host; Swarm does not move any back by itself. */
async function spreadAgain(who: string, hosts: string[], filter: string[]): Promise<void> {
  const count = async () => Promise.all(hosts.map((host) => running(host, filter)));
  const total = async (want: number) => {
    const counts = await count();
    return counts.reduce((sum, one) => sum + one, 0) === want;
  };
  await until(`${who}: ${replicas} replicas after the thaw`, () => total(replicas));
  if ((await count()).every((one) => one === 1)) return;
  if (who === 'swarm') await on(hosts[0]!, ['docker', 'service', 'update', '-q', '--force', app]);
  await until(`${who}: a replica on each host again`, async () => (await count()).every((one) => one === 1));
}

/** What the outside observer counts, the same for both: running containers on a host. */
async function running(host: string, filter: string[]): Promise<number> {
  const ids = await on(host, ['docker', 'ps', '-q', '--filter', 'status=running', ...filter]);
  return ids.split('\n').filter(Boolean).length;
}

async function startSwarm(lab: Lab): Promise<string[]> {
  const [manager, ...workers] = lab.hosts;
  await on(manager!.name, ['docker', 'swarm', 'init', '--advertise-addr', manager!.address]);
  const token = (await on(manager!.name, ['docker', 'swarm', 'join-token', '-q', 'worker'])).trim();
  for (const { name } of workers)
    await on(name, ['docker', 'swarm', 'join', '--token', token, `${manager!.address}:2377`]);
  const create = ['docker', 'service', 'create', '-q', '-d', '--no-resolve-image', '--name', app];
  await on(manager!.name, [...create, '--replicas', String(replicas), image]);
  return ['--filter', `label=com.docker.swarm.service.name=${app}`];
}

async function endSwarm(lab: Lab): Promise<void> {
  const [manager, ...workers] = lab.hosts;
  await on(manager!.name, ['docker', 'service', 'rm', app]);
  for (const { name } of [...workers, manager!]) await on(name, ['docker', 'swarm', 'leave', '--force']);
}

async function startFlynn(): Promise<string[]> {
  await flynn(['apps:create', app, '--no-remote']);
  await flynn(['deploy', '-a', app, '--image', image]);
  await flynn(['scale', '-a', app, `web=${replicas}`]);
  return ['--filter', 'label=flynn.owner', '--filter', `name=flynn-`, '--filter', `ancestor=${image}`];
}

async function on(host: string, argv: string[]): Promise<string> {
  const done = await labExec(host, argv, { ...ref, timeoutMs: 60_000 });
  if (done.code !== 0) throw new Error(`${host}: ${argv.join(' ')} ended with ${done.code}: ${done.stderr}`);
  return done.stdout;
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const started = performance.now();
  while (!(await condition())) {
    if (performance.now() - started > patienceMs)
      throw new Error(`${what}: not within ${patienceMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
