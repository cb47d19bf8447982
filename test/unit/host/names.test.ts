// Names for jobs: the resolver is given to them where it works, and its files say what the store says, no more and no less.
import { mkdtemp, readdir, readFile, rm, writeFile, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ServiceInstance } from '../../../src/lib/api/discovery.js';
import { silentLog } from '../../../src/lib/appliance/log.js';
import { ResolverFiles } from '../../../src/lib/layer0/discovery/dns/resolver-files.js';
import { openNames } from '../../../src/lib/layer0/host/names.js';
import { fakeClock } from '../../fakes/clock.js';
import { seededRng } from '../../../src/lib/util/rng.js';
import { claim, jobId, template, World } from './world.js';

const dns = template({ kind: 'omni', network: 'host' });
const job = jobId(1);

describe('the resolver that jobs are given', () => {
  const given = (world: World): Promise<string[]> =>
    openNames({
      ...{ state: world.state, clock: fakeClock(), rng: seededRng(1), log: silentLog, dir: '/none' },
      ...{ directory: {} as never, docker: {} as never },
      bridge: () => Promise.resolve({ address: '172.17.0.1', name: 'docker0' }),
    }).resolvers();
  const world = (): World => {
    const w = new World({ web: dns });
    w.claims.set(job, claim({ o: 'omni/dns', p: [] }));
    return w.sync();
  };

  it('is the host’s own when it is claimed or runs', async () => {
    const w = world();
    expect(await given(w)).toEqual(['172.17.0.1']);
    w.settle();
    expect(await given(w)).toEqual(['172.17.0.1']);
  });

  it('is none when there is none, when it ended, or when it is being stopped', async () => {
    expect(await given(new World().sync())).toEqual([]);
    const w = world();
    w.settle();
    w.state.containers.clear();
    w.state.jobs.get(job)!.exit = { code: 2, reason: 'port 53 is taken', tail: [] };
    expect(await given(w)).toEqual([]);
    w.claims.set(job, claim({ o: 'omni/dns', p: [], w: 'stop' }));
    expect(await given(w.seeStore())).toEqual([]);
  });
});

describe('the files that the resolver reads', () => {
  let dir: string;
  const services = new Map<string, ServiceInstance[]>();
  const source = {
    known: true,
    names: () => [...services.keys()],
    view: (name: string) => {
      const instances = services.get(name) ?? [];
      return { name, instances, leader: instances[0] ?? null };
    },
  };
  const set = (name: string, ...addresses: string[]): void => {
    if (addresses.length === 0) return void services.delete(name);
    const instances = addresses.map((address, i) => ({
      ...{ id: `x.${i}`, host: 'a', address, port: 1, since: 0, meta: {}, epoch: i },
    }));
    services.set(name, instances);
  };
  const has = async (): Promise<Record<string, string>> => {
    const names = (await readdir(join(dir, 'hosts'))).sort();
    const texts = await Promise.all(names.map((name) => readFile(join(dir, 'hosts', name), 'utf8')));
    return Object.fromEntries(names.map((name, i) => [name, texts[i] ?? '']));
  };
  beforeEach(async () => {
    services.clear();
    dir = await mkdtemp(join(tmpdir(), 'flynn-names-'));
  });
  afterEach(() => rm(dir, { recursive: true }));

  it('follow what changes, and nothing else is touched', async () => {
    const files = new ResolverFiles(dir);
    set('db', '10.0.0.1');
    set('web.hello', '10.0.0.2');
    await files.sync(source);
    expect(await has()).toEqual({
      _addresses: '10.0.0.1 10-0-0-1.addr.flynn\n10.0.0.2 10-0-0-2.addr.flynn\n',
      db: '10.0.0.1 db.flynn\n10.0.0.1 leader.db.flynn\n',
      'web.hello': '10.0.0.2 web.hello.flynn\n10.0.0.2 leader.web.hello.flynn\n',
    });
    set('db');
    set('web.hello', '10.0.0.3');
    await files.sync(source, ['db']);
    expect(Object.keys(await has())).toEqual(['_addresses', 'web.hello']);
    expect((await has())['web.hello']).toContain('10.0.0.2');
  });

  it('of an agent before are taken over: what is gone meanwhile is removed, with the first full list', async () => {
    set('db', '10.0.0.1');
    set('old', '10.0.0.1');
    await new ResolverFiles(dir).sync(source);
    set('old');
    await mkdir(join(dir, 'hosts'), { recursive: true });
    await writeFile(join(dir, 'hosts', '.half'), 'x');
    await new ResolverFiles(dir).sync(source);
    expect(Object.keys(await has())).toEqual(['.half', '_addresses', 'db']);
  });

  it('with settings say when those were others before, so that the resolver reads them', async () => {
    const files = new ResolverFiles(dir);
    expect(await files.configure({ interface: 'docker0', port: 1 })).toBe(false);
    expect(await files.configure({ interface: 'docker0', port: 1 })).toBe(false);
    expect(await files.configure({ interface: 'br0', port: 1 })).toBe(true);
    expect(await readFile(join(dir, 'dnsmasq.conf'), 'utf8')).toContain('interface=br0\n');
  });
});
