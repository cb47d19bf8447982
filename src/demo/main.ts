// `npm run demo`: the whole of Flynn once through, on three plain hosts that it makes on this machine.
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AppState } from '../lib/api/app.js';
import {
  bootstrapLab,
  labBundle,
  labEnv,
  labUp,
  packageRoot,
  pauseHost,
  startLoad,
  unpauseHost,
  type Lab,
  type LabReport,
  type LoadResult,
} from '../lib/lab/index.js';
import { cryptoRng, pick } from '../lib/util/rng.js';
import { poll } from '../lib/util/retry.js';
import { systemClock } from '../lib/util/clock.js';
import { linesToTry, writeAppFile } from './lines.js';
import { Story } from './story.js';

const name = 'demo';
const app = 'hello';
const domain = `${app}.localhost`;

/** Runs the demo to its end; throws at the first thing that does not work. */
export async function demo(): Promise<void> {
  const root = packageRoot();
  const env = { ...process.env, ...labEnv({ root, name }) };
  const story = new Story({ root, env });
  const report: LabReport = ({ message }) => story.say(`  ${message}`);

  story.chapter('three plain hosts');
  story.say('Containers that look like fresh Debian machines: sshd, and a Docker engine each.');
  const lab = await labUp({ root, name, hosts: 3 }, report);
  for (const host of lab.hosts)
    story.say(`  ${host.name}  ssh -F ${lab.dir}/ssh_config ${host.name}   inside ${host.address}`);

  story.chapter('a cluster, over SSH');
  const bundle = await labBundle(report, { root });
  await bootstrapLab(lab, bundle, (args) => story.flynn(args));

  story.chapter('an app, with git push');
  const source = join(lab.dir, app);
  await freshSource(story, root, source);
  await story.flynn(['apps:create', app, '--if-missing'], { cwd: source });
  await story.command('git', ['push', '--force', 'flynn', 'main'], { cwd: source, shown: true });
  await story.flynn(['scale', 'web=3'], { cwd: source });

  story.chapter('through every router');
  for (const host of lab.hosts) {
    story.say(`$ curl -H 'Host: ${domain}' ${host.http}`);
    for (let time = 0; time < 3; time++) {
      await story.command('curl', ['-sS', '--max-time', '10', '-H', `Host: ${domain}`, host.http]);
    }
  }
  await story.flynn(['cluster', 'status']);

  story.chapter('a second push, under load');
  await pushUnderLoad(story, lab, source);

  story.chapter('the last act: a host freezes');
  await freeze(story, lab);

  await writeAppFile(lab, app, domain);
  story.say(ending(story, lab));
}

/** A git repository with the example app, as a person would have it. */
async function freshSource(story: Story, root: string, source: string): Promise<void> {
  await rm(source, { recursive: true, force: true });
  await cp(join(root, 'templates/examples/hello'), source, { recursive: true });
  await rm(join(source, 'Dockerfile'), { force: true });
  const git = (...args: string[]) => story.command('git', args, { cwd: source, quiet: true });
  await git('init', '-q', '-b', 'main');
  await commit(story, source, 'hello');
}

async function commit(story: Story, source: string, message: string): Promise<void> {
  const who = ['-c', 'user.name=Demo', '-c', 'user.email=demo@example.com'];
  await story.command('git', ['add', '-A'], { cwd: source, quiet: true });
  await story.command('git', [...who, 'commit', '-q', '-m', message], { cwd: source, quiet: true });
}

async function pushUnderLoad(story: Story, lab: Lab, source: string): Promise<void> {
  const file = join(source, 'server.js');
  const text = await readFile(file, 'utf8');
  await writeFile(file, text.replace('pid: process.pid', "pid: process.pid, says: 'hello again'"));
  await commit(story, source, 'says hello again');
  story.say('200 requests per second, through all three routers, while it builds and deploys:');
  const load = startLoad({
    targets: lab.hosts.map(({ http }) => http),
    host: domain,
    perSecond: 200,
    maxMs: 180_000,
  });
  try {
    await story.command('git', ['push', 'flynn', 'main'], { cwd: source, shown: true });
  } finally {
    tell(story, await load.stop());
  }
  const first = lab.hosts[0];
  if (first) await story.command('curl', ['-sS', '--max-time', '10', '-H', `Host: ${domain}`, first.http]);
}

/** Freezes a host that nobody chose before, measures what a client sees, and thaws it. */
async function freeze(story: Story, lab: Lab): Promise<void> {
  const frozen = pick(cryptoRng, lab.hosts);
  if (!frozen) return;
  const others = lab.hosts.filter((host) => host !== frozen);
  const load = startLoad({
    targets: others.map(({ http }) => http),
    host: domain,
    perSecond: 200,
    maxMs: 120_000,
  });
  const ref = { root: lab.root, name: lab.name };
  story.say(
    `200 requests per second through ${others.map((host) => host.name).join(' and ')}; now ${frozen.name} freezes.`,
  );
  const started = performance.now();
  try {
    await pauseHost(frozen.name, ref);
    await poll(systemClock, () => servingElsewhere(story, frozen.name), {
      timeoutMs: 90_000,
      intervalMs: 100,
      what: 'the return of all replicas',
    });
    story.say(
      `all three replicas serve again, without ${frozen.name}, ${seconds(performance.now() - started)} after the freeze`,
    );
    tell(story, await load.stop());
  } finally {
    await unpauseHost(frozen.name, ref);
  }
  story.say(`${frozen.name} thaws; the surplus goes:`);
  await poll(systemClock, async () => ((await state(story)).converged ? true : undefined), {
    timeoutMs: 90_000,
    intervalMs: 200,
    what: 'the end of the surplus',
  });
  await story.flynn(['ps', '-a', app]);
}

async function state(story: Story): Promise<AppState> {
  return JSON.parse(await story.flynn(['ps', '-a', app, '--json'], { quiet: true })) as AppState;
}

async function servingElsewhere(story: Story, away: string): Promise<true | undefined> {
  const { jobs } = await state(story);
  return jobs.filter((job) => job.state === 'serving' && job.host !== away).length >= 3 ? true : undefined;
}

function tell(story: Story, load: LoadResult): void {
  story.say(
    `the client: ${load.requests} requests, ${load.failed} failed, longest gap ${load.longestGapMs} ms, median ${load.medianMs} ms`,
  );
  for (const { at, cause } of load.failures.slice(0, 3)) story.say(`  at ${seconds(at)}: ${cause}`);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function ending(story: Story, lab: Lab): string {
  const first = lab.hosts[0];
  return `
The grid is up, ${story.seconds} s after the beginning. Try it:

${linesToTry(name, app).join('\n')}

In a browser: ${(first?.local ?? first?.http ?? '').replace('127.0.0.1', domain)}
To stop it:   npm run lab -- down --name ${name}
`;
}
