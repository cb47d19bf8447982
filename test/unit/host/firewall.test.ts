// The firewall's rules: whom they let in and keep out, and how they come to the kernel's tables and leave them again.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jobPorts, localPorts, ports } from '../../../src/lib/api/grid.js';
import { planFirewall, type SeenTable } from '../../../src/lib/layer0/host/firewall/plan.js';
import {
  portList,
  ruleSet,
  type Family,
  type FirewallInput,
} from '../../../src/lib/layer0/host/firewall/rules.js';
import { changeTo, parseSaved, removal } from '../../../src/lib/layer0/host/firewall/saved.js';
import { FakeNetfilter } from '../../fakes/netfilter.js';
import { fate, type Packet } from './packets.js';

const own = '10.0.0.1';
const other = '10.0.0.2';
const stranger = '10.0.0.99';
const container = '172.17.0.5';
const onBridge = '172.17.0.1';
const input: FirewallInput = {
  members: [own, other],
  bridges: ['docker0', 'br-0123456789ab'],
  bridgeAddresses: [onBridge],
};
const closed = Object.values(ports).filter((port) => port !== ports.registryLocal);

const incoming = (packet: Partial<Packet>, from = input, family: Family = 4) =>
  fate(ruleSet(family, from).chains, 'FLYNN-INPUT', { in: 'eth0', src: stranger, dst: own, ...packet });
const forwarded = (packet: Partial<Packet>, from = input) =>
  fate(ruleSet(4, from).chains, 'FLYNN-FORWARD', { in: 'eth0', src: stranger, dst: container, ...packet });

describe('ports', () => {
  it.each([
    [[1], '1'],
    [[2380, 2379, 5], '5,2379:2380'],
    [[3, 1, 2, 2, 9], '1:3,9'],
  ])('%j are written as %s', (numbers, text) => expect(portList(numbers)).toBe(text));

  it('of all that listens on an internal address are closed, a later one too', () => {
    expect(closed).toEqual(expect.arrayContaining([2379, 2380, 1113, 1114, 1115, 1116, 1117, 1118]));
  });
});

describe('packets to this host', () => {
  it.each<[string, Partial<Packet>, 'pass' | 'drop']>([
    ['of a stranger to etcd', { dport: 2379 }, 'drop'],
    ['of a member to etcd', { src: other, dport: 2379 }, 'pass'],
    ['of itself to etcd', { in: 'lo', src: own, dport: 2379 }, 'pass'],
    ['of a container to etcd', { in: 'docker0', src: container, dport: 2379 }, 'drop'],
    ['of a container that claims to be a member', { in: 'docker0', src: other, dport: 2379 }, 'drop'],
    [
      'of a container on another network to the agent',
      { in: 'br-0123456789ab', src: container, dport: 1113 },
      'drop',
    ],
    [
      'of a container to its discovery',
      { in: 'docker0', src: container, dst: onBridge, dport: localPorts.discovery },
      'pass',
    ],
    ['of a stranger to discovery', { dst: onBridge, dport: localPorts.discovery }, 'drop'],
    ['of a member to discovery', { src: other, dst: onBridge, dport: localPorts.discovery }, 'drop'],
    [
      'of a container to its resolver',
      { in: 'docker0', src: container, dst: onBridge, proto: 'udp', dport: 53 },
      'pass',
    ],
    ['of a stranger to the resolver', { dst: onBridge, proto: 'udp', dport: 53 }, 'drop'],
    ['of a stranger to the resolver, TCP', { dst: onBridge, dport: 53 }, 'drop'],
    ["of a stranger to the host's own name server", { proto: 'udp', dport: 53 }, 'pass'],
    ['of a container to its router', { in: 'docker0', src: container, dport: 80 }, 'pass'],
    ['of a stranger to the router', { dport: 80 }, 'pass'],
    ['of a stranger to the router over TLS', { dport: 443 }, 'pass'],
    ['of a stranger to sshd', { dport: 22 }, 'pass'],
    ['of a stranger to the gateway', { dport: 2222 }, 'pass'],
    ['of a stranger to something of the host', { dport: 5432 }, 'pass'],
    ['of a stranger, ICMP', { proto: 'icmp' }, 'pass'],
    ['of a stranger to a port of etcd, UDP', { proto: 'udp', dport: 2379 }, 'pass'],
    ['of a stranger to the first job port', { dport: jobPorts.first }, 'drop'],
    ['of a stranger to the last job port', { dport: jobPorts.last }, 'drop'],
    ['of a stranger to a job port, UDP', { proto: 'udp', dport: 25_000 }, 'drop'],
    ['of a stranger beside the job ports', { dport: jobPorts.first - 1 }, 'pass'],
    ['of a member to a job port', { src: other, dport: 25_000 }, 'pass'],
    ['of a container to a job port', { in: 'docker0', src: container, dport: 25_000 }, 'pass'],
    ['that answer what the host asked from such a port', { dport: 25_000, reply: true }, 'pass'],
    ['that answer what the host asked, whoever it was', { dport: 2379, reply: true }, 'pass'],
  ])('%s: %s', (_what, packet, wanted) => expect(incoming(packet)).toBe(wanted));

  it('of the other family find the same doors closed, and open to members of that family', () => {
    const six = { ...input, members: ['10.0.0.2', 'FD00:0::2'] };
    const v6 = { src: 'fd00::9', dst: 'fd00::1', dport: 2379 };
    expect(incoming(v6, six, 6)).toBe('drop');
    expect(incoming({ ...v6, src: 'fd00::2' }, six, 6)).toBe('pass');
    expect(incoming({ ...v6, in: 'lo' }, six, 6)).toBe('pass');
    expect(incoming({ ...v6, dport: 80 }, six, 6)).toBe('pass');
  });
});

describe('packets through this host', () => {
  const toJob = { dport: 8080, askedPort: 20_005 };
  it.each<[string, Partial<Packet>, 'pass' | 'drop']>([
    ['of a stranger to a published job', toJob, 'drop'],
    ['of a stranger to a published job, UDP', { ...toJob, proto: 'udp' }, 'drop'],
    ['of a member to a published job', { ...toJob, src: other }, 'pass'],
    ['of a container to a published job', { ...toJob, in: 'docker0', src: '172.17.0.9' }, 'pass'],
    [
      'that answer, out of a job',
      { in: 'docker0', src: container, dst: stranger, askedPort: 20_005, reply: true },
      'pass',
    ],
    ['of a stranger to what somebody else published', { dport: 8080, askedPort: 8081 }, 'pass'],
    [
      'of a container to a port of that range in the world',
      { in: 'docker0', src: container, dst: '192.0.2.7', dport: 25_565 },
      'pass',
    ],
    [
      'of a virtual machine to a port of that range in the world',
      { in: 'virbr0', src: '192.168.122.9', dst: '192.0.2.7', dport: 25_565 },
      'pass',
    ],
    [
      'of a container to etcd of a member',
      { in: 'docker0', src: container, dst: other, dport: 2379 },
      'drop',
    ],
    [
      'of a container to etcd of its own host',
      { in: 'docker0', src: container, dst: own, dport: 2379 },
      'drop',
    ],
    [
      'of a virtual machine to the agent of a member',
      { in: 'virbr0', src: '192.168.122.9', dst: other, dport: 1113 },
      'drop',
    ],
    ['of a member by way of this host', { in: 'wg0', src: other, dst: own, dport: 2379 }, 'pass'],
    [
      'of a container to the router of a member',
      { in: 'docker0', src: container, dst: other, dport: 80 },
      'pass',
    ],
    [
      'of a container to an etcd of its own',
      { in: 'docker0', src: container, dst: '172.17.0.8', dport: 2379 },
      'pass',
    ],
    [
      'of a container to an etcd in the world',
      { in: 'docker0', src: container, dst: '192.0.2.7', dport: 2379 },
      'pass',
    ],
    [
      'of a container to a job of a member',
      { in: 'docker0', src: container, dst: other, dport: 20_005 },
      'pass',
    ],
  ])('%s: %s', (_what, packet, wanted) => expect(forwarded(packet)).toBe(wanted));
});

const address = fc.ipV4();
const someInput = fc.record({
  members: fc.uniqueArray(address, { maxLength: 8 }),
  bridges: fc.uniqueArray(fc.constantFrom('docker0', 'br-a', 'br-b', 'br-c'), { maxLength: 4 }),
});
const closedPort = fc.oneof(
  fc.constantFrom(...closed),
  fc.integer({ min: jobPorts.first, max: jobPorts.last }),
);

describe('whatever the members and networks are', () => {
  it('members are let in and strangers are not', () => {
    fc.assert(
      fc.property(someInput, address, closedPort, (from, src, dport) => {
        const wanted = from.members.includes(src) ? 'pass' : 'drop';
        expect(incoming({ src, dport }, from)).toBe(wanted);
        if (dport >= jobPorts.first)
          expect(forwarded({ src, dport: 80, askedPort: dport }, from)).toBe(wanted);
      }),
    );
  });

  it('no container gets to a cluster port of any member, by whatever source', () => {
    fc.assert(
      fc.property(someInput, address, fc.constantFrom(...closed), (from, src, dport) => {
        for (const bridge of from.bridges) {
          expect(incoming({ in: bridge, src, dport }, from)).toBe('drop');
          for (const dst of from.members)
            expect(forwarded({ in: bridge, src, dst, dport }, from)).toBe('drop');
        }
      }),
    );
  });

  it('what is not ours is never dropped', () => {
    const foreign = fc
      .integer({ min: 1, max: 65_535 })
      .filter((p) => !closed.some((c) => c === p) && (p < jobPorts.first || p > jobPorts.last));
    fc.assert(
      fc.property(someInput, address, address, foreign, (from, src, dst, dport) => {
        for (const proto of ['tcp', 'udp', 'icmp'] as const) {
          expect(incoming({ src, dst, dport, proto }, from)).toBe('pass');
          expect(forwarded({ src, dst, dport, proto, askedPort: dport }, from)).toBe('pass');
        }
      }),
    );
  });

  it('one change leads to the rules from any state, a second finds nothing, and removal leaves what was', async () => {
    const states = fc.array(someInput, { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(states, fc.boolean(), async (inputs, docker) => {
        const filter = new FakeNetfilter();
        filter.table('iptables-nft').set('INPUT', ['-i wg0 -j ACCEPT']);
        if (docker) filter.startDocker();
        const before = filter.print();
        const write = async (text: string | undefined) => {
          if (text === undefined) return;
          const done = await filter.run(['iptables-nft-restore', '--noflush'], text);
          expect(done.stderr).toBe('');
        };
        for (const one of inputs) {
          await write(changeTo(parseSaved(filter.print()), ruleSet(4, one)));
          expect(changeTo(parseSaved(filter.print()), ruleSet(4, one))).toBeUndefined();
        }
        await write(removal(parseSaved(filter.print())));
        expect(filter.print()).toBe(before);
        expect(removal(parseSaved(filter.print()))).toBeUndefined();
      }),
    );
  });
});

describe('a table that is not as it should be', () => {
  const rules = ruleSet(4, input);
  const good = async () => {
    const filter = new FakeNetfilter();
    filter.startDocker();
    await filter.run(
      ['iptables-nft-restore', '--noflush'],
      changeTo(parseSaved(filter.print()), rules) ?? '',
    );
    return filter;
  };
  it.each<[string, (table: Map<string, string[]>) => void]>([
    ['a jump was flushed', (t) => t.set('INPUT', [])],
    ['somebody put himself before us', (t) => t.get('INPUT')!.unshift('-p tcp -j ACCEPT')],
    ['a jump is there twice', (t) => t.get('INPUT')!.push('-j FLYNN-INPUT')],
    ['a rule is missing', (t) => void t.get('FLYNN-CLUSTER')!.pop()],
    ['a rule was added', (t) => t.get('FLYNN-JOBS')!.unshift('-s 192.0.2.1/32 -j RETURN')],
    ['rules changed places', (t) => void t.get('FLYNN-CLUSTER')!.reverse()],
    ['a chain of an older version is left', (t) => t.set('FLYNN-OLD', ['-j DROP'])],
    ['an older version hung elsewhere', (t) => t.set('FORWARD', ['-j FLYNN-FORWARD', ...t.get('FORWARD')!])],
  ])('is mended: %s', async (_what, harm) => {
    // given
    const filter = await good();
    const whole = filter.rules('FLYNN-INPUT');
    harm(filter.table('iptables-nft'));
    // when
    const text = changeTo(parseSaved(filter.print()), rules);
    const done = await filter.run(['iptables-nft-restore', '--noflush'], text ?? '');
    // then
    expect(done.stderr).toBe('');
    expect(filter.rules('INPUT')?.[0]).toBe('-j FLYNN-INPUT');
    expect(filter.rules('DOCKER-USER')).toEqual(['-j FLYNN-FORWARD', '-j RETURN']);
    expect(filter.rules('FLYNN-INPUT')).toEqual(whole);
    expect(changeTo(parseSaved(filter.print()), rules)).toBeUndefined();
  });

  it('counters and other tables change nothing', async () => {
    const text = (await good()).print();
    const counted = text.replace(/^-A/gm, '[12:3456] -A');
    expect(
      changeTo(parseSaved(`*nat\n:INPUT ACCEPT [0:0]\n-A INPUT -j FLYNN-X\nCOMMIT\n${counted}`), rules),
    ).toBe(undefined);
  });
});

describe('two packet filters on one host', () => {
  const table = (family: Family, variant: 'nft' | 'legacy', ...chains: string[]): SeenTable => ({
    ...{ family, variant },
    saved: new Map(chains.map((name) => [name, []])),
  });
  const planned = (...seen: SeenTable[]) => {
    const { changes, problem } = planFirewall(seen, input);
    const does = changes.map(
      ({ family, variant, text }) => `${variant}${family} ${text.includes('-A') ? 'write' : 'remove'}`,
    );
    return { does, problem };
  };
  it.each<[string, SeenTable[], string[]]>([
    ['nft holds Docker’s chain', [table(4, 'nft', 'DOCKER-USER'), table(4, 'legacy')], ['nft4 write']],
    ['legacy holds it', [table(4, 'nft'), table(4, 'legacy', 'DOCKER-USER')], ['legacy4 write']],
    [
      'both hold it',
      [table(4, 'nft', 'DOCKER-USER'), table(4, 'legacy', 'DOCKER-USER')],
      ['nft4 write', 'legacy4 write'],
    ],
    [
      'the host went from one to the other',
      [table(4, 'nft', 'FLYNN-INPUT'), table(4, 'legacy', 'DOCKER-USER')],
      ['legacy4 write', 'nft4 remove'],
    ],
    [
      'IPv6, of which Docker knows nothing, goes with IPv4',
      [table(4, 'nft'), table(4, 'legacy', 'DOCKER-USER'), table(6, 'nft'), table(6, 'legacy')],
      ['legacy4 write', 'legacy6 write'],
    ],
  ])('%s', (_what, seen, wanted) => expect(planned(...seen)).toEqual({ does: wanted, problem: undefined }));

  it('without Docker’s chain the host’s own ports are closed, and it is said', () => {
    expect(planned(table(4, 'nft'), table(4, 'legacy'))).toEqual({
      does: ['nft4 write'],
      problem: expect.stringContaining('DOCKER-USER') as string,
    });
  });

  it('without any that works, it is said', () => {
    expect(planned().problem).toContain('iptables does not work');
  });
});
