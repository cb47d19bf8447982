// Containers as values: what an app may do, what an appliance may do, and why one ended.
import { describe, expect, it } from 'vitest';
import { Constraint } from '../../../src/lib/api/job.js';
import { nameTemplate } from '../../../src/lib/api/template.js';
import { exitReason } from '../../../src/lib/layer0/host/exit.js';
import { containerSpec, openSecrets } from '../../../src/lib/layer0/host/spec.js';
import { newKey, newWrapKeys, seal, wrapKey } from '../../../src/lib/util/seal.js';
import { claim, details, host, jobId, template, web } from './world.js';

const MiB = 1024 * 1024;
const base = { job: jobId(1), claim: claim(), host, secrets: {}, starts: 3, attempts: 2 };

describe('the container of an app', () => {
  it('given an app, then it is bounded in memory without swap, cpu, pids and capabilities', () => {
    expect(containerSpec({ ...base, template: web })).toMatchObject({
      name: `flynn-${jobId(1)}`,
      memoryBytes: 64 * MiB,
      memorySwapBytes: 64 * MiB,
      cpuShares: 102,
      pidsLimit: 1024,
      restart: 'no',
      init: true,
      noNewPrivileges: true,
      capDrop: ['ALL'],
      capAdd: ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'KILL', 'NET_BIND_SERVICE', 'SETGID', 'SETUID'],
      logDriver: 'json-file',
      logOpts: { mode: 'non-blocking', 'max-size': '10m', 'max-file': '2' },
      labels: {
        'flynn.job': jobId(1),
        'flynn.owner': 'app/hello/3/web',
        'flynn.template': 'web',
        'flynn.starts': '3',
        'flynn.attempts': '2',
      },
      publish: [{ hostIp: '10.0.0.1', hostPort: 20001, containerPort: 8080, proto: 'tcp' }],
    });
  });

  it('given an environment, then secrets win over plain values, the grid has the last word, and nothing is read from meta', () => {
    const spec = containerSpec({
      ...base,
      template: { ...web, env: { A: 'plain', PORT: '1', B: 'b' } },
      secrets: { A: 'secret' },
    });
    expect(spec.env).toEqual({
      A: 'secret',
      B: 'b',
      PORT: '8080',
      FLYNN_JOB_ID: jobId(1),
      FLYNN_HOST: 'a',
    });
  });

  it('given grants, then they win over what the spec sets itself, and nobody else has them', () => {
    const grants = {
      env: { FLYNN_TOKEN: 'own' },
      mounts: [{ type: 'bind' as const, source: '/s', target: '/.flynn', readOnly: true }],
      dns: ['172.17.0.1'],
    };
    const forged = { ...web, env: { FLYNN_TOKEN: 'forged' } };
    const spec = containerSpec({ ...base, template: forged, grants });
    expect(spec).toMatchObject({ dns: ['172.17.0.1'], mounts: grants.mounts, env: { FLYNN_TOKEN: 'own' } });
    expect(containerSpec({ ...base, template: web })).not.toHaveProperty('dns');
  });

  it('given an appliance without a limit on the host network, then nothing is published and memory is free', () => {
    const sys = template({ network: 'host', priority: 'system', memoryLimit: 0, cpuShares: 8192 });
    const spec = containerSpec({ ...base, template: sys });
    expect(spec).toMatchObject({ network: 'host', cpuShares: 8192, init: true });
    expect(spec.memoryBytes).toBeUndefined();
    expect(spec.publish).toBeUndefined();
    expect(spec.capDrop).toBeUndefined();
  });
});

describe('limits apart from reservations', () => {
  it('given limits of cpu and open files, then they are the container’s', () => {
    const spec = containerSpec({ ...base, template: { ...web, cpuLimit: 1500, openFiles: 4096 } });
    expect(spec).toMatchObject({
      nanoCpus: 1_500_000_000,
      cpuShares: 102,
      ulimits: [{ name: 'nofile', soft: 4096, hard: 4096 }],
    });
  });

  it('given capabilities that are dropped, then they are not had, whatever adds them', () => {
    const app = { ...web, capAdd: ['NET_RAW', 'CAP_SYS_PTRACE'], capDrop: ['net_raw', 'KILL'] };
    const capAdd = [
      'CHOWN',
      'DAC_OVERRIDE',
      'FOWNER',
      'NET_BIND_SERVICE',
      'SETGID',
      'SETUID',
      'CAP_SYS_PTRACE',
    ];
    expect(containerSpec({ ...base, template: app })).toMatchObject({ capDrop: ['ALL'], capAdd });
    const none = { ...web, capDrop: ['ALL'] };
    expect(containerSpec({ ...base, template: none })).toMatchObject({ capDrop: ['ALL'], capAdd: [] });
    const sys = template({ priority: 'system', capAdd: ['NET_ADMIN'], capDrop: ['MKNOD'] });
    expect(containerSpec({ ...base, template: sys })).toMatchObject({
      capDrop: ['MKNOD'],
      capAdd: ['NET_ADMIN'],
    });
  });
});

describe('the name of a template', () => {
  it('given none of the later fields, then it is what it was before there were any', () => {
    const old = nameTemplate({
      kind: 'service',
      image: 'app:1',
      health: { type: 'http' },
      ports: [{ name: 'http', container: 8080 }],
      service: { name: 'web' },
    });
    expect(old.hash).toBe('2tpOD2Mz4FwVHaexulsAOH');
  });

  it('given constraints out of shape, then they are refused', () => {
    const bad = [
      { tag: 'zone', op: 'eq' },
      { tag: 'zone', op: 'eq', values: ['a', 'b'] },
      { tag: 'zone', op: 'in', values: [] },
      { tag: 'zone', op: 'exists', values: ['a'] },
      { tag: 'zone', op: 'like', values: ['a'] },
    ];
    for (const one of bad) expect(Constraint.safeParse(one).success).toBe(false);
    expect(Constraint.safeParse({ tag: 'zone', op: 'in', values: ['a', 'b'] }).success).toBe(true);
    expect(Constraint.safeParse({ tag: 'zone', op: 'exists' }).success).toBe(true);
  });
});

describe('the sealed environment', () => {
  const key = newKey();
  const mine = newWrapKeys();
  const sealedEnv = { keyId: 'k1', data: seal(key, JSON.stringify({ A: '1' }), 'k1') };

  it('given the claim carries the key for this host, then it is read', () => {
    const k = wrapKey(mine.publicKey, key);
    expect(openSecrets({ sealedEnv }, { k }, mine.privateKey)).toEqual({ A: '1' });
  });

  it('given a key for another host, another context, or none, then the error names it and holds no secret', () => {
    const other = newWrapKeys();
    const k = wrapKey(other.publicKey, key);
    const bad = () => openSecrets({ sealedEnv }, { k }, mine.privateKey);
    expect(bad).toThrow('its environment (key k1) cannot be decrypted on this host');
    expect(() => openSecrets({ sealedEnv }, {}, mine.privateKey)).toThrow('cannot be decrypted');
    const moved = { sealedEnv: { ...sealedEnv, keyId: 'k2' } };
    expect(() => openSecrets(moved, { k: wrapKey(mine.publicKey, key) }, mine.privateKey)).toThrow('k2');
  });
});

describe('why a container ended', () => {
  const about = { oomHint: false, limitMiB: 512, template: undefined };
  it.each([
    [{ ...details(137), oom: true }, about, 'killed: out of memory at 512 MiB'],
    [details(137), { ...about, oomHint: true }, 'killed: out of memory at 512 MiB'],
    [details(137), about, 'ended by SIGKILL (code 137)'],
    [{ ...details(0), oom: true }, about, 'exited with code 0'],
    [details(3), about, 'exited with code 3'],
    [details(143), about, 'ended by SIGTERM (code 143)'],
    [{ ...details(128), error: 'no such device' }, about, 'no such device'],
  ])('given %j, then it is told in words', (end, how, reason) => {
    expect(exitReason(end, how).reason).toBe(reason);
  });
});
