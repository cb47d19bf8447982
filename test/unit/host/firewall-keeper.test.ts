// The firewall as an agent keeps it: after the members, after the engine, and with the store or the tools away.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FlynnError } from '../../../src/lib/api/errors.js';
import type { HostInfo } from '../../../src/lib/api/grid.js';
import { keys } from '../../../src/lib/api/keys.js';
import type { NetworkInfo } from '../../../src/lib/docker/port.js';
import {
  membersFile,
  removeFirewall,
  startFirewall,
  type Firewall,
} from '../../../src/lib/layer0/host/firewall/index.js';
import { checkEveryMs } from '../../../src/lib/layer0/host/firewall/keeper.js';
import { membersAfter, membersGraceMs } from '../../../src/lib/layer0/host/firewall/members.js';
import { localTools, netfilterOver } from '../../../src/lib/layer0/host/firewall/netfilter.js';
import { followHostInfos } from '../../../src/lib/layer0/host/host-infos.js';
import { silentLog } from '../../../src/lib/util/log.js';
import { seededRng } from '../../../src/lib/util/rng.js';
import { fakeClock } from '../../fakes/clock.js';
import { FakeNetfilter } from '../../fakes/netfilter.js';
import { fakeEtcd } from '../../fakes/store.js';
import { fate } from './packets.js';

const own = '10.0.0.1';
const file = { host: 'a', address: own, etcd: [`https://${own}:2379`, 'https://10.0.0.2:2379'] };
const info = (name: string, address: string): HostInfo => ({
  ...{ name, address, publicAddress: address, roles: [], arch: 'amd64', wrapKey: '' },
  ...{ cpuMillis: 1000, memoryBytes: 1, joinedAt: 0 },
});
const network = (name: string, id: string, bridge?: string): NetworkInfo => ({
  ...{ id, name, driver: 'bridge', labels: {}, subnets: [], gateways: [] },
  ...(bridge ? { bridge } : {}),
});

let stop: AbortController;
beforeEach(() => {
  stop = new AbortController();
});
afterEach(() => stop.abort());

/** A host with its firewall, and the cluster around it. */
class Rig {
  readonly clock = fakeClock();
  readonly etcd = fakeEtcd(this.clock);
  readonly operator = this.etcd.client();
  readonly store = this.etcd.client();
  readonly filter = new FakeNetfilter(['iptables-nft', 'iptables-legacy', 'ip6tables-nft']);
  readonly engine = { dockerUp: true, networks: [network('bridge', 'f00', 'docker0')] };
  /** Members as they are kept for the next start. */
  kept: readonly string[] = [];
  firewall!: Firewall;
  dockerNews!: () => void;

  constructor() {
    this.filter.startDocker();
  }

  async boot(): Promise<void> {
    const { clock, engine } = this;
    const log = silentLog;
    this.firewall = await startFirewall(
      {
        hosts: followHostInfos({ store: this.store, clock, rng: seededRng(1), log }, stop.signal),
        netfilter: netfilterOver(this.filter.run),
        docker: {
          networks: {
            list: () =>
              engine.dockerUp
                ? Promise.resolve(engine.networks)
                : Promise.reject(new FlynnError({ code: 'unreachable', message: 'docker is away' })),
          },
        } as Parameters<typeof startFirewall>[0]['docker'],
        ...{ file, clock, log },
        copy: {
          load: () => Promise.resolve([...this.kept]),
          save: (members) => Promise.resolve(void (this.kept = members)),
        },
      },
      stop.signal,
    );
    this.dockerNews = this.firewall.dockerNews(engine);
    await this.settle();
  }

  join(name: string, address: string): Promise<unknown> {
    return this.operator.put(keys.hostInfo(name), JSON.stringify(info(name, address)));
  }

  async settle(): Promise<void> {
    for (let i = 0; i < 20; i++) await this.clock.settle();
  }

  lets(src: string, dport = 2379, iface = 'eth0'): boolean {
    const chains = this.filter.table('iptables-nft');
    return fate(chains, 'INPUT', { in: iface, src, dst: own, dport }) === 'pass';
  }
}

describe('given a cluster of two', () => {
  const up = async (): Promise<Rig> => {
    const rig = new Rig();
    await rig.join('a', own);
    await rig.join('b', '10.0.0.2');
    await rig.boot();
    return rig;
  };

  it('members are let in, others are not, and all is well', async () => {
    const rig = await up();
    expect(rig.firewall.problem()).toBeUndefined();
    expect([own, '10.0.0.2', '10.0.0.3'].map((address) => rig.lets(address))).toEqual([true, true, false]);
    expect(rig.filter.writes).toEqual(['iptables-nft', 'ip6tables-nft']);
    expect(rig.kept).toEqual([own, '10.0.0.2']);
  });

  it('when a host joins, it is let in at once; when it is taken off the record, it is not any more', async () => {
    const rig = await up();
    await rig.join('c', '10.0.0.3');
    await rig.settle();
    expect(rig.lets('10.0.0.3')).toBe(true);
    await rig.operator.delete(keys.hostInfo('c'));
    await rig.settle();
    expect(rig.lets('10.0.0.3')).toBe(false);
    expect(rig.lets('10.0.0.2')).toBe(true);
  });

  it('when nothing changes, nothing is written', async () => {
    const rig = await up();
    await rig.clock.advance(10 * checkEveryMs);
    await rig.operator.put(keys.hostBook('b'), '{}');
    await rig.settle();
    expect(rig.filter.writes).toHaveLength(2);
  });

  it('when somebody flushes the rules, they are back with the next look', async () => {
    const rig = await up();
    rig.filter.table('iptables-nft').clear();
    rig.filter.startDocker();
    expect(rig.lets('10.0.0.3')).toBe(true);
    await rig.clock.advance(checkEveryMs);
    await rig.settle();
    expect(rig.lets('10.0.0.3')).toBe(false);
    expect(rig.filter.rules('DOCKER-USER')?.[0]).toBe('-j FLYNN-FORWARD');
  });

  it('when dockerd comes back, its chain has our jump without waiting for the next look', async () => {
    const rig = await up();
    rig.engine.dockerUp = false;
    rig.dockerNews();
    rig.filter.table('iptables-nft').delete('DOCKER-USER');
    rig.filter.startDocker();
    rig.engine.dockerUp = true;
    rig.dockerNews();
    await rig.settle();
    expect(rig.filter.rules('DOCKER-USER')).toEqual(['-j FLYNN-FORWARD', '-j RETURN']);
  });

  it('when Docker makes a network, its containers are kept out; while it is away, they still are', async () => {
    const rig = await up();
    rig.engine.networks.push(network('compose', '0123456789abcdef'));
    await rig.clock.advance(checkEveryMs);
    await rig.settle();
    expect(rig.lets('10.0.0.2', 2379, 'br-0123456789ab')).toBe(false);
    rig.engine.dockerUp = false;
    await rig.clock.advance(2 * checkEveryMs);
    await rig.settle();
    expect(rig.lets('10.0.0.2', 2379, 'br-0123456789ab')).toBe(false);
    expect(rig.lets('172.18.0.2', 20_005, 'br-0123456789ab')).toBe(true);
  });

  it('when the rules cannot be written, it is told, tried again, and told no more', async () => {
    const rig = await up();
    rig.filter.refusal = 'Another app is currently holding the xtables lock';
    await rig.join('c', '10.0.0.3');
    await rig.settle();
    expect(rig.firewall.problem()).toContain('xtables lock');
    rig.filter.refusal = undefined;
    await rig.clock.advance(checkEveryMs);
    await rig.settle();
    expect(rig.firewall.problem()).toBeUndefined();
    expect(rig.lets('10.0.0.3')).toBe(true);
  });

  it('when the filter that Docker uses cannot be read for a while, the other is left alone', async () => {
    const rig = await up();
    const table = rig.filter.table('iptables-nft');
    rig.filter.tables.delete('iptables-nft');
    await rig.clock.advance(checkEveryMs);
    await rig.settle();
    expect(rig.firewall.problem()).toContain('iptables-nft');
    expect(rig.filter.table('iptables-legacy').size).toBe(0);
    rig.filter.tables.set('iptables-nft', table);
    await rig.clock.advance(checkEveryMs);
    await rig.settle();
    expect(rig.firewall.problem()).toBeUndefined();
  });

  it('when Docker has not made its chain yet, its own ports are closed, and the rest follows', async () => {
    const rig = new Rig();
    rig.filter.table('iptables-nft').clear();
    await rig.join('a', own);
    await rig.boot();
    expect(rig.lets('10.0.0.3')).toBe(false);
    expect(rig.firewall.problem()).toContain('DOCKER-USER');
    rig.filter.startDocker();
    await rig.clock.advance(checkEveryMs);
    await rig.settle();
    expect(rig.firewall.problem()).toBeUndefined();
    expect(rig.filter.rules('DOCKER-USER')?.[0]).toBe('-j FLYNN-FORWARD');
  });

  it('when the host is cleared, no rule of ours is left', async () => {
    const rig = new Rig();
    const before = rig.filter.print();
    await rig.join('a', own);
    await rig.boot();
    stop.abort();
    expect(await removeFirewall(rig.filter.run)).toBe(true);
    expect(rig.filter.print()).toBe(before);
    expect(rig.filter.print('ip6tables-nft')).not.toContain('FLYNN');
    expect(await removeFirewall(rig.filter.run)).toBe(false);
  });
});

describe('given a store that does not answer', () => {
  const away = async (...kept: string[]): Promise<Rig> => {
    const rig = new Rig();
    rig.kept = kept;
    rig.store.cut('refused');
    await rig.join('a', own);
    await rig.join('b', '10.0.0.2');
    await rig.join('c', '10.0.0.3');
    await rig.boot();
    return rig;
  };

  it('the members are those of the copy on disk, at once', async () => {
    const rig = await away('10.0.0.3');
    expect(['10.0.0.2', '10.0.0.3', '10.0.0.4'].map((one) => rig.lets(one))).toEqual([true, true, false]);
  });

  it('without a copy nobody is kept out until it had its time; then only etcd is let in', async () => {
    const rig = await away();
    expect(rig.lets('10.0.0.3')).toBe(true);
    expect(rig.firewall.problem()).toContain('not known yet');
    await rig.clock.advance(membersGraceMs + checkEveryMs);
    await rig.settle();
    expect(rig.lets('10.0.0.2')).toBe(true);
    expect(rig.lets('10.0.0.3')).toBe(false);
    rig.store.heal();
    await rig.clock.advance(5_000);
    await rig.settle();
    expect(rig.lets('10.0.0.3')).toBe(true);
  });
});

describe('given a store that lost its records', () => {
  it('nobody is shut out, also not when some come back', async () => {
    const rig = new Rig();
    await rig.join('a', own);
    await rig.join('b', '10.0.0.2');
    await rig.join('c', '10.0.0.3');
    await rig.boot();
    rig.etcd.wipe();
    rig.store.dropWatches();
    await rig.join('a', own);
    await rig.clock.advance(60_000);
    await rig.settle();
    expect(['10.0.0.2', '10.0.0.3', '10.0.0.4'].map((one) => rig.lets(one))).toEqual([true, true, false]);
  });

  it('a record that means nothing to us shuts nobody out', async () => {
    const rig = new Rig();
    await rig.join('a', own);
    await rig.join('b', '10.0.0.2');
    await rig.boot();
    await rig.operator.put(keys.hostInfo('b'), '{"of":"the future"}');
    await rig.settle();
    expect(rig.lets('10.0.0.2')).toBe(true);
  });
});

describe('the members after a list', () => {
  it.each([
    [['b', 'c'], { addresses: ['b', 'd'], whole: true }, ['b', 'd', 'own']],
    [['b', 'c'], { addresses: ['b', 'd'], whole: false }, ['b', 'c', 'd', 'own']],
    [['b'], { addresses: [], whole: false }, ['b', 'own']],
  ])('of %j, told %j, are %j', (known, listed, wanted) => {
    expect(membersAfter(known, 'own', listed)).toEqual(wanted);
  });
});

describe('the copy of the members', () => {
  it('is read as it was written; none, or one that is broken, is nobody', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'firewall-'));
    try {
      const path = join(dir, 'agent', 'members.json');
      const bad: unknown[] = [];
      const copy = membersFile(path, (error) => bad.push(error));
      expect(await copy.load()).toEqual([]);
      await copy.save([own, '10.0.0.2']);
      expect(await copy.load()).toEqual([own, '10.0.0.2']);
      expect(bad).toEqual([]);
      await writeFile(path, '{"version":1,"mem');
      expect(await copy.load()).toEqual([]);
      expect(bad).toHaveLength(1);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });
});

describe('tools of this machine', () => {
  it('are run with input and the lock’s path, and their end is an answer, whatever it is', async () => {
    const run = localTools('/somewhere/lock');
    const argv = ['sh', '-c', 'cat; echo "$XTABLES_LOCKFILE"; echo oops >&2; exit 3'];
    expect(await run(argv, 'text\n')).toEqual({
      code: 3,
      stdout: 'text\n/somewhere/lock\n',
      stderr: 'oops\n',
    });
    expect(await run(['/no/such/tool'], 'x')).toMatchObject({ code: null });
    const netfilter = netfilterOver(() => Promise.resolve({ code: 4, stdout: '', stderr: 'a\nb\nno\n' }));
    const table = { family: 6, variant: 'legacy' } as const;
    expect(await netfilter.save(table)).toBeUndefined();
    await expect(netfilter.restore(table, '')).rejects.toThrow(
      'ip6tables-legacy-restore ended with 4: a / b / no',
    );
  });
});
