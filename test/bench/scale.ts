// From 1 to 31 containers over three hosts: Flynn beside Docker Swarm and beside raw starts on the same hosts.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bootstrapArgs, labExec, labImage, type Lab } from '../../src/lib/lab/index.js';
import { endLab, flynn, freshLab, labName, median, result, root, rounded, say } from './bench.js';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' } } });
const rounds = Number(values.rounds);
const from = 1;
const to = 31;
const image = 'hello:1';
const app = 'wide';
const ref = { root, name: labName };
const patienceMs = 120_000;
/** Raw starts at a time on each host; the best of them counts. */
const widths = [1, 4, 10];

const { lab, bundle } = await freshLab(3);
const hosts = lab.hosts.map(({ name }) => name);
try {
  await labImage(lab, join(root, 'templates/examples/hello'), image, ({ message }) => say(`  ${message}`));
  const raws = new Map<number, number[]>();
  for (const width of widths)
    raws.set(width, await measure(`raw, ${width} at a time`, 'label=raw', raw(width)));
  await startSwarm(lab);
  const swarm = await measure('swarm', `label=com.docker.swarm.service.name=${app}`, {
    up: () => on(hosts[0]!, ['docker', 'service', 'scale', '-d', `${app}=${to}`]),
    down: () => on(hosts[0]!, ['docker', 'service', 'scale', '-d', `${app}=${from}`]),
  });
  await endSwarm();
  await flynn(roomy(bootstrapArgs(lab, bundle)), true);
  await flynn(['apps:create', app, '--no-remote']);
  await flynn(['deploy', '-a', app, '--image', image]);
  const flynns = await measure('flynn', 'label=flynn.owner', {
    up: () => flynn(['scale', '-a', app, `web=${to}`, '--no-wait']),
    down: () => flynn(['scale', '-a', app, `web=${from}`, '--no-wait']),
  });
  const best = Math.min(...[...raws.values()].map(median));
  result('scale', {
    flynn_s: rounded(median(flynns)),
    flynn_worst_s: rounded(Math.max(...flynns)),
    swarm_s: rounded(median(swarm)),
    swarm_worst_s: rounded(Math.max(...swarm)),
    ...Object.fromEntries(widths.map((width) => [`raw_${width}_s`, rounded(median(raws.get(width)!))])),
    swarm_ratio: rounded(median(flynns) / median(swarm)),
    raw_ratio: rounded(median(flynns) / best),
  });
} finally {
  await endLab();
}

/** Room for all of them: what a lab host says it has is less than 31 jobs reserve. */
function roomy(args: string[]): string[] {
  return args.map((arg, i) => (args[i - 1] === '--capacity' ? '16384,16000' : arg));
}

/** How a contender goes up and down. */
interface Contender {
  up(): Promise<unknown>;
  down(): Promise<unknown>;
}

/**
 * Raw `docker run`, a third of the containers on each host, with what Flynn's have too: a published port of the host's
 * own address, limits of memory and processes, no new privileges.
 */
function raw(width: number): Contender {
  const each = (to - from) / lab.hosts.length;
  const same = '--memory 512m --cpu-shares 102 --pids-limit 1024 --security-opt no-new-privileges';
  const start = (address: string) =>
    `seq ${each} | xargs -P ${width} -I{} docker run -d --label raw -p ${address}::8080 ${same} ${image}`;
  return {
    up: () => Promise.all(lab.hosts.map(({ name, address }) => on(name, ['sh', '-c', start(address)]))),
    down: () =>
      Promise.all(
        hosts.map((host) => on(host, ['sh', '-c', 'docker rm -f $(docker ps -aq --filter label=raw)'])),
      ),
  };
}

/** Goes up and down; seconds from the command to the start of the last container, as the hosts' engines log it. */
async function measure(who: string, filter: string, { up, down }: Contender): Promise<number[]> {
  const filters = ['--filter', filter, '--filter', `ancestor=${image}`];
  const base = filter === 'label=raw' ? 0 : from;
  await until(`${who}: ${base} before it begins`, filters, base);
  const took: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    const began = Date.now();
    await up();
    await until(`${who}: all run`, filters, base + to - from);
    took.push(((await lastStart(filter, began, to - from)) - began) / 1000);
    say(`${who}: round ${round}, ${to - from} more in ${took.at(-1)!.toFixed(2)} s`);
    await down();
    await until(`${who}: as before`, filters, base);
  }
  return took;
}

/** When the last of the expected containers started, ms since 1970: all engines run on this machine's clock. */
async function lastStart(filter: string, since: number, expected: number): Promise<number> {
  const argv = ['docker', 'events', '--since', stamp(since), '--until', stamp(Date.now())];
  const only = ['--filter', 'type=container', '--filter', 'event=start', '--filter', filter];
  const format = ['--format', '{{.TimeNano}}'];
  const answers = await Promise.all(hosts.map((host) => on(host, [...argv, ...only, ...format])));
  const times = answers
    .flatMap((text) => text.split('\n').filter(Boolean))
    .map((nano) => Number(nano) / 1e6)
    .sort((a, b) => a - b);
  if (times.length < expected) throw new Error(`${times.length} starts were logged, ${expected} expected`);
  return times[expected - 1]!;
}

function stamp(ms: number): string {
  return (ms / 1000).toFixed(3);
}

async function startSwarm({ hosts: [manager, ...workers] }: Lab): Promise<void> {
  await on(manager!.name, ['docker', 'swarm', 'init', '--advertise-addr', manager!.address]);
  const token = (await on(manager!.name, ['docker', 'swarm', 'join-token', '-q', 'worker'])).trim();
  for (const { name } of workers)
    await on(name, ['docker', 'swarm', 'join', '--token', token, `${manager!.address}:2377`]);
  const create = ['docker', 'service', 'create', '-q', '-d', '--no-resolve-image', '--name', app];
  await on(manager!.name, [...create, '--replicas', String(from), image]);
}

async function endSwarm(): Promise<void> {
  await on(hosts[0]!, ['docker', 'service', 'rm', app]);
  for (const name of [...hosts].reverse()) await on(name, ['docker', 'swarm', 'leave', '--force']);
}

async function on(host: string, argv: string[]): Promise<string> {
  const done = await labExec(host, argv, { ...ref, timeoutMs: patienceMs });
  if (done.code !== 0) throw new Error(`${host}: ${argv.join(' ')} ended with ${done.code}: ${done.stderr}`);
  return done.stdout;
}

/** Waits until that many run on all hosts together; looked at twice a second, so that looking costs little. */
async function until(what: string, filters: readonly string[], count: number): Promise<void> {
  const started = performance.now();
  for (;;) {
    const ids = await Promise.all(
      hosts.map((host) => on(host, ['docker', 'ps', '-q', '--filter', 'status=running', ...filters])),
    );
    if (ids.flatMap((text) => text.split('\n').filter(Boolean)).length === count) return;
    if (performance.now() - started > patienceMs)
      throw new Error(`${what}: not within ${patienceMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
