// The way to a cluster and back: bootstrap killed at every operation goes on where it stopped, destroy leaves no trace.
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { bootstrapArgs, labBundle, labDown, labExec, labUp, type Lab } from '../../src/lib/lab/index.js';
import { root } from '../lab/grid.js';
import { Operator } from './operator.js';
import { controlProcesses, flynnProcesses, workerProcesses } from './processes.js';
import { expectAsBefore, snapshot } from './snapshot.js';

const operator = new Operator('resume');
const { ref } = operator;
const quiet = () => undefined;

let lab: Lab;
let bundle: string;
/** What each host was like before the cluster. */
const before = new Map<string, string[]>();

interface Plan {
  operations: { id: string; title: string; host?: string }[];
  results?: { id: string; changed: boolean }[];
}

const bootstrap = (): string[] => bootstrapArgs(lab, bundle);

const plan = async (): Promise<Plan> =>
  JSON.parse(await operator.ok([...bootstrap(), '--dry-run', '--json'])) as Plan;

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

async function expectNoTrace(): Promise<void> {
  const config = join(lab.dir, 'ssh_config');
  await operator.ok(['cluster', 'destroy', lab.name, '--yes', '--ssh-config', config]);
  for (const [host, was] of before) await expectAsBefore(host, was, ref);
}

beforeAll(async () => {
  lab = await labUp({ ...ref, hosts: 1 }, quiet);
  bundle = await labBundle(quiet, { root });
  await rm(join(lab.dir, 'flynn'), { recursive: true, force: true });
  before.set('a', await snapshot('a', ref));
});

afterAll(() => (process.env.FLYNN_KEEP_LAB === '1' ? undefined : labDown(ref, quiet)));

describe('a bootstrap that is killed in the middle of the images', () => {
  it('goes on to a healthy cluster', async () => {
    const { killed, said } = await operator.killedAt('- a: images 50 %', bootstrap());
    expect(killed, said).toBe(true);
    const ids = await clusterIds();
    await operator.ok(bootstrap());
    expect(new Set([...ids, ...(await clusterIds())]).size).toBe(1);
    await operator.expectHealthy('a');
  });

  it('and the destroyed cluster leaves the host as it was before', expectNoTrace);
});

describe('a bootstrap that is killed at the beginning of every operation', () => {
  it('goes on where it stopped, to one healthy cluster', async () => {
    const { operations } = await plan();
    expect(operations.length).toBeGreaterThan(8);
    const ids: string[] = [];
    for (const operation of operations) {
      const { killed, said } = await operator.killedAt(startLine(operation), bootstrap());
      expect(killed, `${operation.id} never began:\n${said}`).toBe(true);
      ids.push(...(await clusterIds()));
    }
    await operator.ok(bootstrap());
    expect(new Set([...ids, ...(await clusterIds())]).size).toBe(1);
    await operator.expectHealthy('a');
  });

  it('and run once more, changes nothing', async () => {
    const again = JSON.parse(await operator.ok([...bootstrap(), '--json'])) as Plan;
    expect(again.results?.filter(({ changed }) => changed)).toEqual([]);
  });
});

describe('a host that is added', () => {
  const add = (): string[] => [
    ...['cluster', 'add-host', 'b', '--yes'],
    ...['--ssh-config', join(lab.dir, 'ssh_config')],
  ];

  it('by a command that is killed three times, is part of the same cluster in the end', async () => {
    lab = await labUp({ ...ref, hosts: 2 }, quiet);
    before.set('b', await snapshot('b', ref));
    const address = lab.hosts.find((host) => host.name === 'b')!.address;
    const args = [...add(), '--internal-address', `b=${address}`];
    const ids = await clusterIds();
    for (const line of ['- b: images 25 %', '- put the hosts on record', '- b: start the host agent']) {
      const { killed, said } = await operator.killedAt(line, args);
      expect(killed, said).toBe(true);
    }
    await operator.ok(args);
    expect(new Set([...ids, ...(await clusterIds()), ...(await clusterIds('b'))]).size).toBe(1);
    await operator.expectHealthy('a', 'b');
  });

  it('and added again, changes nothing', async () => {
    const again = JSON.parse(await operator.ok([...add(), '--json'])) as Plan;
    expect(again.results?.filter(({ changed }) => changed)).toEqual([]);
  });

  it('under the name of another, is refused', async () => {
    const done = await operator.flynn(['cluster', 'add-host', 'a=b', '--yes']);
    expect(done.code, done.stderr).toBe(4);
  });
});

describe('the processes of a cluster', () => {
  it.each([
    ['a control host', 'a', 'all the appliances', controlProcesses],
    ['a worker', 'b', 'host agent and router', workerProcesses],
  ])('are on %s (%s) %s, and nothing else', async (_kind, host, _what, expected) => {
    // A proxy that was replaced a moment ago may still finish a request.
    await vi.waitFor(async () => expect(await flynnProcesses(host, ref)).toEqual(expected), 30_000);
  });
});

describe('destroy', () => {
  it('leaves every host as it was before the cluster', expectNoTrace);
});
