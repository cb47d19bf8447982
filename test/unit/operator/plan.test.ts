// Bootstrap's plan as a value: what is done where, after what; and its execution.
import { beforeAll, describe, expect, it } from 'vitest';
import { FlynnError } from '../../../src/lib/api/errors.js';
import { apply, type Executor } from '../../../src/lib/operator/apply.js';
import { mergeDaemonJson } from '../../../src/lib/operator/daemon-json.js';
import type { OperatorEvent } from '../../../src/lib/operator/events.js';
import { hostFile, hostFiles } from '../../../src/lib/operator/host-files.js';
import { newSecrets, type ClusterJournal, type ClusterSecrets } from '../../../src/lib/operator/journal.js';
import type { Operation, OperationKind } from '../../../src/lib/operator/operation.js';
import { planBootstrap } from '../../../src/lib/operator/plan.js';
import { rolesAt } from '../../../src/lib/operator/roles.js';
import { HostFile } from '../../../src/lib/appliance/config.js';
import { encoded, facts, journalOf } from './sample.js';

const images = { host: 'flynn/host:1', etcd: 'flynn/etcd:1' };
let journal: ClusterJournal;
let secrets: ClusterSecrets;

beforeAll(async () => {
  journal = journalOf('a', 'b', 'c', 'd');
  ({ secrets } = await newSecrets('test', journal.hosts, 1_700_000_000_000));
});

const plan = (change: (name: string) => ReturnType<typeof facts> = () => facts()): Operation[] =>
  planBootstrap({
    journal,
    secrets,
    images,
    facts: new Map(journal.hosts.map((h) => [h.name, change(h.name)])),
  });

describe('rolesAt', () => {
  it.each([
    [1, ['control etcd']],
    [2, ['control etcd', 'control']],
    [3, ['control etcd', 'control etcd', 'control etcd']],
    [5, ['control etcd', 'control etcd', 'control etcd', '', '']],
  ])('of %i hosts', (total, expected) => {
    expect(Array.from({ length: total }, (_, i) => rolesAt(i, total).join(' '))).toEqual(expected);
  });
});

describe('planBootstrap', () => {
  it('every operation comes after the ones it waits for, and none waits for itself', () => {
    const seen = new Set<string>();
    for (const operation of plan()) {
      expect(operation.after.filter((id) => !seen.has(id))).toEqual([]);
      seen.add(operation.id);
    }
  });

  it('etcd starts on three hosts, agents on all of them', () => {
    const ids = plan().map((o) => o.id);
    expect(ids.filter((id) => id.startsWith('etcd.start'))).toEqual([
      'etcd.start@a',
      'etcd.start@b',
      'etcd.start@c',
    ]);
    expect(ids.filter((id) => id.startsWith('agent.start'))).toHaveLength(4);
  });

  it('installs Docker only where it is missing, and then before its settings and the images', () => {
    const operations = plan((name) => (name === 'b' ? facts([], ['docker_', 'live', 'swarm']) : facts()));
    expect(operations.filter((o) => o.kind === 'docker.install').map((o) => o.host)).toEqual(['b']);
    expect(operations.find((o) => o.id === 'docker.configure@b')?.after).toEqual(['docker.install@b']);
    expect(operations.find((o) => o.id === 'images.load@b')?.after).toContain('docker.install@b');
  });

  it.each<[string, string[], boolean]>([
    ['not set', [], true],
    [
      'set in the file and running',
      ['live_restore=true', `daemon_json=${encoded('{"live-restore":true}')}`],
      false,
    ],
    ['running, but gone with the next start', ['live_restore=true'], true],
    ['set by a flag', ['live_restore=true', 'live_restore_flag=yes'], false],
  ])('live-restore %s: configured %s', (_name, extra, expected) => {
    const operations = plan(() => facts(extra, extra.length > 0 ? ['live_restore='] : []));
    expect(operations.some((o) => o.kind === 'docker.configure')).toBe(expected);
  });

  it('given no bundle, images are built on the first host once, and nothing is loaded before that', () => {
    const operations = planBootstrap({ journal, secrets, images: undefined, facts: new Map() });
    expect(operations.filter((o) => o.kind === 'images.build').map((o) => o.host)).toEqual(['a']);
    const loads = operations.filter((o) => o.kind === 'images.load');
    expect(loads).toHaveLength(4);
    expect(loads.every((o) => o.after.includes('images.build@a'))).toBe(true);
    expect(plan().some((o) => o.kind === 'images.build')).toBe(false);
  });

  it('no operation shows a secret', () => {
    const text = JSON.stringify(plan());
    for (const secret of [secrets.clusterKey, secrets.authority.key, secrets.gatewayKey]) {
      expect(text).not.toContain(secret.slice(0, 40));
    }
    expect(text).not.toContain('PRIVATE');
  });
});

describe('hostFiles', () => {
  it('keys are for root alone, host.json comes last and is what appliances read', () => {
    const host = journal.hosts[1]!;
    const files = hostFiles(journal, secrets, host);
    expect(files.filter((f) => /\.key$|host_key$/.test(f.path)).every((f) => f.mode === 0o600)).toBe(true);
    expect(files.at(-1)?.path).toBe('/etc/flynn/common/host.json');
    const file = HostFile.parse(JSON.parse(files.at(-1)!.content));
    expect(file.etcd).toEqual(['https://10.0.0.2:2379', 'https://10.0.0.1:2379', 'https://10.0.0.3:2379']);
  });

  it('a worker has no control key, no authority key and no cluster key', () => {
    const worker = journal.hosts[3]!;
    const files = hostFiles(journal, secrets, worker);
    expect(files.some((f) => f.path.includes('/control/') || f.path.includes('/etcd/'))).toBe(false);
    expect(JSON.stringify(files)).not.toContain(JSON.stringify(secrets.authority.key).slice(1, -1));
    expect(hostFile(journal, worker).etcd).toHaveLength(3);
  });
});

describe('mergeDaemonJson', () => {
  it.each([
    [undefined, { 'live-restore': true }, true],
    ['', { 'live-restore': true }, true],
    ['{"dns":["1.1.1.1"]}', { dns: ['1.1.1.1'], 'live-restore': true }, true],
    ['{"live-restore":false}', { 'live-restore': true }, true],
    ['{"live-restore":true,"a":1}', { 'live-restore': true, a: 1 }, false],
  ])('%s', (before, value, changed) => {
    expect(mergeDaemonJson(before)).toMatchObject({ value, changed });
  });
  it('refuses what is no object', () => {
    expect(() => mergeDaemonJson('[]')).toThrow(SyntaxError);
  });
});

describe('apply', () => {
  const operation = (id: string, ...after: string[]): Operation => ({
    id,
    kind: 'files.write',
    title: id,
    detail: [],
    after,
  });
  const run = async (operations: Operation[], executor: Executor, parallel?: number) => {
    const events: OperatorEvent[] = [];
    const executors = new Proxy({} as Record<OperationKind, Executor>, { get: () => executor });
    const done = apply(operations, {
      executors,
      reporter: { event: (e) => events.push(e) },
      clock: { mono: () => 0 },
      ...(parallel ? { parallel } : {}),
    });
    return { events, result: await done.catch((error: unknown) => error as Error) };
  };

  it('keeps the order, runs what may run at once, and no more than allowed', async () => {
    let now = 0;
    let most = 0;
    const finished: string[] = [];
    const executor: Executor = async ({ operation: { id } }) => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setTimeout(resolve, 2));
      now -= 1;
      finished.push(id);
      return id !== 'b';
    };
    const { result } = await run(
      [operation('a'), operation('b'), operation('c'), operation('d', 'a', 'b', 'c'), operation('e', 'd')],
      executor,
      2,
    );
    expect(most).toBe(2);
    expect(finished.slice(3)).toEqual(['d', 'e']);
    expect(result).toMatchObject([
      { id: 'a', changed: true },
      { id: 'b', changed: false },
      { id: 'c' },
      { id: 'd' },
      { id: 'e' },
    ]);
  });

  it('given a failure, finishes what is under way, begins nothing new, and names them all', async () => {
    const finished: string[] = [];
    const executor: Executor = async ({ operation: { id } }) => {
      if (id === 'bad') throw new FlynnError({ code: 'no_capacity', message: 'the disk is full' });
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (id === 'worse') throw new Error('broken');
      finished.push(id);
      return true;
    };
    const { result } = await run(
      [operation('bad'), operation('slow'), operation('worse'), operation('later', 'slow')],
      executor,
    );
    expect(finished).toEqual(['slow']);
    expect(result).toMatchObject({ code: 'no_capacity' });
    expect((result as FlynnError).message).toContain('the disk is full (also failed: worse)');
    expect((result as FlynnError).hint).toContain('again');
  });

  it('given a plan in a circle, says so instead of hanging', async () => {
    const { result } = await run([operation('a', 'b'), operation('b', 'a')], async () => true);
    expect((result as Error).message).toContain('circle');
  });
});
