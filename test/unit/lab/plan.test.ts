// Keys, addresses, variants and the argv of lab hosts.
import { describe, expect, it } from 'vitest';
import { isFlynnError } from '../../../src/lib/api/errors.js';
import {
  addressesOf,
  hostArgv,
  hostName,
  labKey,
  labName,
  MAX_HOSTS,
  nameServers,
  numberOf,
  recipes,
  subnetOf,
  variantLabel,
  variantOf,
  type HostSpec,
} from '../../../src/lib/lab/plan.js';

const spec = (change: Partial<HostSpec> = {}): HostSpec => ({
  key: 'k',
  lab: 'test',
  root: '/src/one',
  number: 7,
  index: 1,
  image: 'flynn-lab-host:1',
  variant: { bare: false, sudoUser: false, noForwarding: false },
  recipe: { name: 'r', args: ['--privileged'] },
  publish: [{ ip: '127.77.7.12', port: 22, inner: 22 }],
  authorizedKey: 'ssh-ed25519 AAAA lab',
  dns: ['192.0.2.53', '192.0.2.54'],
  ...change,
});

const valueAfter = (argv: string[], flag: string): string | undefined => argv[argv.indexOf(flag) + 1];

describe('identity of a lab', () => {
  it('differs by checkout and by name, and is the same twice', () => {
    const keys = [labKey('/a', 'x'), labKey('/a', 'y'), labKey('/b', 'x')];
    expect(new Set(keys).size).toBe(3);
    expect(labKey('/a', 'x')).toBe(keys[0]);
  });

  it('does not confuse where the checkout ends and the name begins', () => {
    expect(labKey('/a', 'bc')).not.toBe(labKey('/ab', 'c'));
  });

  it.each(['', 'Up', 'a b', '../x', '-a', 'a'.repeat(32)])('refuses the name %j', (name) => {
    expect(() => labName(name)).toThrowError(expect.objectContaining({ code: 'usage' }));
  });

  it('calls a lab without a name default', () => {
    expect(labName()).toBe('default');
  });
});

describe('addresses', () => {
  it('gives every host of every lab an address, loopback address and bridge of its own', () => {
    const seen = { address: new Set<string>(), loopback: new Set<string>(), bip: new Set<string>() };
    for (let n = 0; n < 255; n++) {
      for (let index = 0; index < MAX_HOSTS; index++) {
        const one = addressesOf(n, index);
        seen.address.add(one.address);
        seen.loopback.add(one.loopback);
        seen.bip.add(one.bip);
      }
    }
    for (const set of Object.values(seen)) expect(set.size).toBe(255 * MAX_HOSTS);
  });

  it('keeps the bridges of jobs out of every subnet of hosts', () => {
    for (let index = 0; index < MAX_HOSTS; index++)
      expect(addressesOf(0, index).bip).not.toMatch(/^10\.77\./);
  });

  it('reads back the number of its own subnets and of no other', () => {
    expect(numberOf(subnetOf(254))).toBe(254);
    expect(numberOf('172.17.0.0/16')).toBeUndefined();
  });

  it('names twenty hosts by letters', () => {
    expect([hostName(0), hostName(1), hostName(MAX_HOSTS - 1)]).toEqual(['a', 'b', 't']);
  });
});

describe('variants', () => {
  it('come back from their label, all eight', () => {
    for (const bits of [0, 1, 2, 3, 4, 5, 6, 7]) {
      const variant = { bare: !!(bits & 1), sudoUser: !!(bits & 2), noForwarding: !!(bits & 4) };
      expect(variantOf(variantLabel(variant))).toEqual(variant);
    }
  });
});

describe('the argv of a host', () => {
  it('has a fixed address, an init, an empty /run and a disk of its own', () => {
    const argv = hostArgv(spec());
    expect(valueAfter(argv, '--ip')).toBe('10.77.7.12');
    expect(valueAfter(argv, '--hostname')).toBe('b');
    expect(argv).toContain('--init');
    expect(valueAfter(argv, '--tmpfs')).toMatch(/^\/run:/);
    expect(argv).toContain('/var/lib/docker');
    expect(argv.at(-1)).toBe('flynn-lab-host:1');
  });

  it('publishes on the given addresses alone', () => {
    const argv = hostArgv(spec({ publish: [{ ip: '127.0.0.1', port: 8081, inner: 80 }] }));
    expect(argv.filter((_, i) => argv[i - 1] === '-p')).toEqual(['127.0.0.1:8081:80']);
  });

  it('hands the login, the bridge and the name servers over', () => {
    const argv = hostArgv(spec({ variant: { bare: false, sudoUser: true, noForwarding: true } }));
    expect(argv).toEqual(
      expect.arrayContaining([
        'LAB_USER=ops',
        'LAB_FORWARDING=no',
        'LAB_BIP=10.102.7.1/24',
        'LAB_DNS=192.0.2.53 192.0.2.54',
      ]),
    );
  });

  it('shares the machine’s cgroup tree in every recipe, so that a pause reaches the jobs', () => {
    expect(recipes[0]?.name).toBe('privileged');
    for (const recipe of recipes) {
      const argv = hostArgv(spec({ recipe }));
      expect(valueAfter(argv, '--cgroupns')).toBe('host');
      expect(argv).toContain('/sys/fs/cgroup:/sys/fs/cgroup:rw');
    }
  });
});

describe('name servers', () => {
  it('are those of resolv.conf', () => {
    expect(nameServers('# x\nnameserver 192.0.2.1\nnameserver  2001:db8::1\nsearch a\n')).toEqual([
      '192.0.2.1',
      '2001:db8::1',
    ]);
  });

  it('are those behind a resolver on loopback, which no container reaches', () => {
    expect(nameServers('nameserver 127.0.0.53\n', 'nameserver 192.0.2.9\n')).toEqual(['192.0.2.9']);
    expect(nameServers('nameserver 127.0.0.53\n')).toEqual([]);
  });
});

describe('errors of names', () => {
  it('carry a hint with a command', () => {
    try {
      labName('No');
      expect.unreachable();
    } catch (error) {
      expect(isFlynnError(error) && error.hint).toContain('flynn lab up');
    }
  });
});
