// Containers as values: what an app may do, what an appliance may do, and why one ended.
import { describe, expect, it } from 'vitest';
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

  it('given an appliance without a limit on the host network, then nothing is published and memory is free', () => {
    const sys = template({ network: 'host', priority: 'system', memoryLimit: 0, cpuShares: 8192 });
    const spec = containerSpec({ ...base, template: sys });
    expect(spec).toMatchObject({ network: 'host', cpuShares: 8192, init: true });
    expect(spec.memoryBytes).toBeUndefined();
    expect(spec.publish).toBeUndefined();
    expect(spec.capDrop).toBeUndefined();
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
