// The verdict of preflight: one table of hosts and findings.
import { describe, expect, it } from 'vitest';
import { judge, type HostReport, type JudgeContext } from '../../../src/lib/operator/judge.js';
import type { AddressChoice } from '../../../src/lib/operator/addresses.js';
import { encoded, facts } from './sample.js';

const choice = (host: string, address?: string, unreachedFrom: string[] = []): AddressChoice => ({
  host,
  ...(address ? { address } : {}),
  why: 'a test',
  unreachedFrom,
});
const context = (over: Partial<JudgeContext> = {}): JudgeContext => ({
  cluster: { name: 'test' },
  ports: { http: 80, https: 443, gateway: 2222 },
  choices: [choice('a', '10.0.0.1')],
  allowPublicPlaintext: false,
  domain: {
    name: 'apps.example.com',
    isDefault: false,
    publicAddresses: ['203.0.113.1'],
    resolved: ['203.0.113.1'],
  },
  ...over,
});
const host = (name = 'a', extra: string[] = [], drop: string[] = [], skewMs = 0): HostReport => ({
  name,
  facts: facts(extra, drop),
  skewMs,
});
const codes = (hosts: HostReport[], over: Partial<JudgeContext> = {}): string[] =>
  judge(hosts, context(over)).map((f) => `${f.level}:${f.code}`);

describe('judge', () => {
  it('given an ordinary host, finds nothing', () => {
    expect(codes([host()])).toEqual([]);
  });

  const id = 'cd'.repeat(32);
  it.each<[string, string[], string[], string[]]>([
    ['no root', ['elevation=none'], ['elevation='], ['error:not_root']],
    ['an unknown processor', ['arch=riscv64'], ['arch='], ['error:arch']],
    ['an arm64 processor', ['arch=aarch64'], ['arch='], []],
    ['Fedora', ['os_id=fedora', 'os_name=Fedora 40'], ['os_'], ['warning:os']],
    ['Ubuntu', ['os_id=ubuntu', 'os_like=debian'], ['os_'], []],
    ['a relative of Debian', ['os_id=mint', 'os_like=ubuntu debian'], ['os_'], []],
    ['no Docker but apt', [], ['docker_', 'swarm', 'live'], ['note:docker_install']],
    ['no Docker and no apt', [], ['docker_', 'swarm', 'live', 'apt='], ['error:docker_missing']],
    [
      'an engine that is down',
      [`docker_error=${encoded('cannot connect')}`],
      ['docker_version', 'swarm'],
      ['error:docker_down'],
    ],
    ['Swarm mode', ['swarm=active'], ['swarm='], ['error:swarm']],
    ['a broken daemon.json', [`daemon_json=${encoded('{,}')}`], [], ['error:daemon_json']],
    ['live-restore forbidden by flag', ['live_restore_flag=yes'], [], ['error:live_restore']],
    ['little disk', ['disk=1000000 /var'], ['disk='], ['error:disk']],
    ['400 MiB of memory', ['memory=409600'], ['memory='], ['error:memory']],
    ['600 MiB for a control host', ['memory=614400'], ['memory='], ['error:memory']],
    ['a web server on port 80', ['listen=0.0.0.0:80 55  nginx'], [], ['error:port']],
    ['another etcd on loopback', ['listen=127.0.0.1:2379 55  etcd'], [], ['error:port']],
    ['something on loopback that we do not want', ['listen=127.0.0.1:1113 55  x'], [], []],
    ['our own container on port 80', [`listen=0.0.0.0:80 55 ${id} haproxy`, `ours=${id} flynn-x`], [], []],
    ["somebody else's container on port 80", [`listen=0.0.0.0:80 55 ${id} httpd`], [], ['error:port']],
    [
      'a member of another cluster',
      [`member=${encoded('{"cluster":{"id":"z","name":"old"},"host":"a"}')}`],
      [],
      ['error:member'],
    ],
  ])('given %s', (_name, extra, drop, expected) => {
    expect(codes([host('a', extra, drop)])).toEqual(expected);
  });

  it('names the process that holds a port, and what the port is for', () => {
    const [finding] = judge([host('a', ['listen=0.0.0.0:443 4711  caddy'])], context());
    expect(finding?.message).toBe('port 443, for HTTPS, is held by caddy (pid 4711)');
  });

  it('looks at the HTTP port that was asked for', () => {
    const busy = host('a', ['listen=0.0.0.0:80 55  nginx']);
    expect(codes([busy], { ports: { http: 8080, https: 443, gateway: 2222 } })).toEqual([]);
  });

  it('tells all findings of all hosts, errors first', () => {
    const hosts = [
      host('a', ['os_id=fedora'], ['os_']),
      host('b', ['swarm=active', 'disk=1 /'], ['swarm=', 'disk=']),
      host('c', ['elevation=none'], ['elevation=']),
    ];
    const choices = ['a', 'b', 'c'].map((name, i) => choice(name, `10.0.0.${i + 1}`));
    const found = judge(hosts, context({ choices }));
    expect(found.map((f) => `${f.host} ${f.code}`)).toEqual(['b swarm', 'b disk', 'c not_root', 'a os']);
  });

  it('a member of the same cluster is a resumed bootstrap, no finding', () => {
    const member = host('a', [`member=${encoded('{"cluster":{"id":"z","name":"test"},"host":"a"}')}`]);
    expect(codes([member], { cluster: { name: 'test', id: 'z' } })).toEqual([]);
  });

  const three = (...skews: number[]): HostReport[] => skews.map((skew, i) => host('abc'[i], [], [], skew));
  const abc = ['a', 'b', 'c'].map((name, i) => choice(name, `10.0.0.${i + 1}`));
  it.each<[string, number[], string[]]>([
    ['clocks that agree', [0, 100, -200], []],
    ['one clock 6 s off', [0, 6_000, 0], ['error:clock']],
    [
      "only this computer's clock off",
      [60_000, 60_100, 59_900],
      ['warning:clock', 'warning:clock', 'warning:clock'],
    ],
    ['exactly 5 s', [0, 5_000, 0], []],
  ])('given %s', (_name, skews, expected) => {
    expect(codes(three(...skews), { choices: abc })).toEqual(expected);
  });

  it.each<[string, AddressChoice[], boolean, string[]]>([
    ['private addresses', abc, false, []],
    [
      'a host that another cannot reach',
      [abc[0]!, choice('b', '10.0.0.2', ['a', 'c']), abc[2]!],
      false,
      ['error:unreachable'],
    ],
    ['a host without an address', [abc[0]!, choice('b'), abc[2]!], false, ['error:no_address']],
    [
      'public addresses',
      ['a', 'b', 'c'].map((n, i) => choice(n, `203.0.113.${i}`)),
      false,
      ['error:public_plaintext'],
    ],
    [
      'public addresses that were accepted',
      ['a', 'b', 'c'].map((n, i) => choice(n, `203.0.113.${i}`)),
      true,
      [],
    ],
  ])('given %s', (_name, choices, allowPublicPlaintext, expected) => {
    expect(codes(three(0, 0, 0), { choices, allowPublicPlaintext })).toEqual(expected);
  });

  it('one host alone may have a public address, two hosts are warned of their one etcd', () => {
    expect(codes([host()], { choices: [choice('a', '203.0.113.1')] })).toEqual([]);
    expect(codes([host('a'), host('b')], { choices: abc.slice(0, 2) })).toEqual(['warning:two_hosts']);
  });

  it('says the default domain aloud, and the records that a domain of ours lacks', () => {
    const domain = {
      name: 'apps.example.com',
      isDefault: false,
      publicAddresses: ['203.0.113.1', '2001:db8::1'],
      resolved: [],
    };
    const [dns] = judge([host()], context({ domain }));
    expect(dns).toMatchObject({ level: 'note', code: 'dns' });
    expect(dns?.hint).toContain('*.apps.example.com. A 203.0.113.1');
    expect(dns?.hint).toContain('apps.example.com. AAAA 2001:db8::1');
    const said = judge(
      [host()],
      context({ domain: { ...domain, name: '203.0.113.1.sslip.io', isDefault: true } }),
    );
    expect(said[0]).toMatchObject({ level: 'note', code: 'domain_default' });
    expect(said[0]?.message).toContain('APP.203.0.113.1.sslip.io');
  });
});
