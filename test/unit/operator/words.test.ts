// Words of the command line: host names, capacities, addresses, fingerprints; and the omni jobs they lead to.
import { describe, expect, it } from 'vitest';
import { JobTemplate } from '../../../src/lib/api/job.js';
import {
  parseCapacity,
  parseHostKeys,
  parseInternalAddresses,
} from '../../../src/lib/operator/bootstrap-command.js';
import { nameHosts, toHostName } from '../../../src/lib/operator/connect.js';
import { rolesOf, usersOf, etcdSpec, authScript } from '../../../src/lib/operator/etcd.js';
import { imageOf, omniJobs } from '../../../src/lib/operator/omni.js';
import { memoryNeeded } from '../../../src/lib/operator/roles.js';
import { seedOf } from '../../../src/lib/operator/first-records.js';
import { newSecrets } from '../../../src/lib/operator/journal.js';
import { SeedGrid } from '../../../src/lib/seed/protocol.js';
import { journalOf } from './sample.js';

describe('nameHosts', () => {
  const host = (over: Partial<Parameters<typeof nameHosts>[0][number]>) => ({
    host: '203.0.113.1',
    address: '203.0.113.1',
    hostname: 'debian',
    ...over,
  });
  it.each([
    ['given names win', [host({ given: 'x' }), host({ given: 'y' })], ['x', 'y']],
    ['an alias of ssh_config', [host({ host: 'web', address: '203.0.113.1' })], ['web']],
    ['what the host calls itself', [host({ hostname: 'Node_1.example.com' })], ['node-1']],
    ['three hosts called alike', [host({}), host({}), host({})], ['debian', 'debian-2', 'debian-3']],
    [
      'a given name that a later host would take',
      [host({}), host({ given: 'debian' })],
      ['debian-2', 'debian'],
    ],
    ['nothing usable', [host({ hostname: '---' })], ['host-1']],
  ])('%s', (_name, hosts, expected) => expect(nameHosts(hosts)).toEqual(expected));

  it('refuses bad and doubled names', () => {
    expect(() => nameHosts([host({ given: 'No_Name' })])).toThrow(/lower-case/);
    expect(() => nameHosts([host({ given: 'a' }), host({ given: 'a' })])).toThrow(/two hosts/);
  });
  it('cuts names to 30 characters without a hyphen at the end', () => {
    expect(toHostName(`${'a'.repeat(29)}-b`)).toBe('a'.repeat(29));
  });
});

describe('flags', () => {
  it('capacity', () => {
    expect(parseCapacity('2048,1500')).toEqual({ memoryMiB: 2048, cpuMillis: 1500 });
    for (const bad of ['2048', '2048,', ',1', '2g,1', '1,2,3'])
      expect(() => parseCapacity(bad)).toThrow(/--capacity/);
  });
  it('internal addresses', () => {
    expect(parseInternalAddresses(['a=10.0.0.1', 'b=fd00::1'])).toEqual(
      new Map([
        ['a', '10.0.0.1'],
        ['b', 'fd00::1'],
      ]),
    );
    for (const bad of ['a', '=10.0.0.1', 'a=host', 'a='])
      expect(() => parseInternalAddresses([bad])).toThrow(/HOST=ADDRESS/);
  });
  it('host keys', () => {
    const good = `SHA256:${'a'.repeat(43)}`;
    expect(parseHostKeys([good])).toEqual([good]);
    for (const bad of ['MD5:aa', 'SHA256:short', 'ssh-ed25519 AAAA'])
      expect(() => parseHostKeys([bad])).toThrow(/fingerprint/);
  });
});

describe('omni jobs', () => {
  const jobs = omniJobs(
    { host: 'flynn/host:1', router: 'flynn/router:1' },
    { httpPort: 8080, httpsPort: 443, gatewayPort: 2222 },
  );

  it('are valid templates on the host network, each with its fixed ports and a check on one of them', () => {
    expect(jobs.map((job) => [job.name, job.on, job.order])).toEqual([
      ['dns', 'all', 5],
      ['sampi', 'control', 10],
      ['controller', 'control', 20],
      ['gateway', 'control', 30],
      ['registry', 'control', 35],
      ['router', 'all', 40],
    ]);
    for (const job of jobs) {
      const template = JobTemplate.parse(job.template);
      expect(template).toMatchObject({
        kind: 'omni',
        network: 'host',
        priority: 'system',
        memoryLimit: 0,
        args: [job.name],
      });
      expect(template.ports.every((port) => port.fixed === port.container)).toBe(true);
      // The resolver listens on the bridge alone, where no check of ours asks: it is up while it runs.
      if (job.name === 'dns') expect([template.ports, template.health]).toEqual([[], undefined]);
      else expect(template.ports.map((port) => port.name)).toContain(template.health?.port);
    }
  });

  it('no two of them want the same port, and the router has the port that was asked for', () => {
    const ports = jobs.flatMap((job) => (job.template.ports ?? []).map((port) => port.fixed));
    expect(new Set(ports).size).toBe(ports.length);
    expect(ports).toContain(8080);
  });

  it('their reservations are what preflight asks a control host for', () => {
    const sum = jobs.reduce(
      (total, job) => total + (JobTemplate.parse(job.template).resources.memory ?? 0),
      0,
    );
    expect(memoryNeeded(['control', 'etcd'])).toBe(sum + 384 * 1024 ** 2);
  });

  it('an appliance has its own image, else the shared one', () => {
    expect(imageOf({ host: 'h', router: 'r' }, 'router')).toBe('r');
    expect(imageOf({ host: 'h' }, 'gateway')).toBe('h');
    expect(() => imageOf({}, 'gateway')).toThrow(/gateway/);
  });
});

describe('etcd', () => {
  const journal = journalOf('a', 'b', 'c', 'd');
  const allows = (role: string, kind: 'read' | 'write', key: string): boolean =>
    (rolesOf(journal.hosts).get(role) ?? []).some(
      (grant) =>
        (kind === 'read' || grant.kind === 'readwrite') &&
        (grant.to === undefined ? key.startsWith(grant.key) : key >= grant.key && key < grant.to),
    );
  const can = (user: string, kind: 'read' | 'write', key: string): boolean =>
    (usersOf(journal.hosts).get(user) ?? []).some((role) => allows(role, kind, key));

  it.each<[string, 'read' | 'write', string, boolean]>([
    ['host-a', 'write', 'hosts/a/lease', true],
    ['host-a', 'write', 'claims/a/x', true],
    ['host-a', 'write', 'elections/service/db/x', true],
    ['host-a', 'write', 'elections/formations/x', false],
    ['host-a', 'write', 'status/a/x', true],
    ['host-a', 'write', 'instances/a/web/x', true],
    ['host-a', 'write', 'volumes/a/data', true],
    ['host-a', 'write', 'volumes/b/data', false],
    ['host-a', 'write', 'singletons/a/x', true],
    ['host-a', 'write', 'singletons/b/x', false],
    ['host-a', 'write', 'templates/x', false],
    ['host-a', 'write', 'claims/b/x', false],
    ['host-a', 'write', 'claims/ab/x', false],
    ['host-a', 'write', 'omni/router', false],
    ['host-a', 'read', 'claims/b/x', true],
    ['host-a', 'read', 'templates/x', true],
    ['host-a', 'read', 'consumers/*/b', true],
    ['host-a', 'read', 'omni/router', true],
    ['host-a', 'read', 'keys/SHA256:x', false],
    ['host-a', 'read', 'releases/x/1', true],
    ['router', 'read', 'routes/x', true],
    ['router', 'read', 'instances/a/web/x', true],
    ['router', 'write', 'consumers/*/a', true],
    ['router', 'write', 'routes/x', false],
    ['router', 'read', 'claims/a/x', false],
    ['router', 'read', 'keys/x', false],
    ['control', 'write', 'keys/x', true],
    ['control', 'write', 'elections/x', true],
  ])('%s may %s %s: %s', (user, kind, key, expected) => expect(can(user, kind, key)).toBe(expected));

  it('members of the first start are the three, each listening inside and on loopback only', () => {
    const spec = etcdSpec(journal, journal.hosts[1]!, 'flynn/etcd:1');
    expect(spec.cmd).toContain(
      '--initial-cluster=a=https://10.0.0.1:2380,b=https://10.0.0.2:2380,c=https://10.0.0.3:2380',
    );
    expect(spec.cmd).toContain('--listen-client-urls=https://10.0.0.2:2379,https://127.0.0.1:2379');
    expect(spec.cmd).toContain('--client-cert-auth=true');
    expect(JSON.stringify(spec)).not.toContain('0.0.0.0');
    expect(spec).toMatchObject({ restart: 'always', network: 'host', cpuShares: 8192 });
  });

  it('the script that sets rights holds no key, and ends by switching authentication on', () => {
    const script = authScript(journal.hosts, journal.hosts[0]!);
    expect(script).not.toContain('BEGIN');
    expect(script.trim().split('\n').at(-1)).toBe('quietly etcdctl_ auth enable');
  });
});

describe('seedOf', () => {
  it('gives each host a book of what is left after the reserve, or what the operator said', async () => {
    const journal = journalOf('a', 'b');
    const { secrets } = await newSecrets('test', journal.hosts, 1);
    const images = { host: 'flynn/host:1', etcd: 'flynn/etcd:1' };
    const grid = SeedGrid.parse(seedOf(journal, secrets, images, []));
    expect(grid.hosts[0]?.capacity).toEqual({ m: 4096 - 384, c: 3800 });
    expect(grid.hosts[0]?.info.wrapKey).toBe(secrets.hosts.a?.wrap.publicKey);
    const said = { ...journal, capacity: { memoryMiB: 1000, cpuMillis: 900 } };
    expect(SeedGrid.parse(seedOf(said, secrets, images, [])).hosts[1]?.capacity).toEqual({ m: 1000, c: 900 });
    expect(JSON.stringify(grid)).not.toContain('PRIVATE');
  });
});
