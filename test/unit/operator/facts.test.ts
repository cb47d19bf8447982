// The preflight script's answer, read: real shapes, missing tools, hostile text.
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { factsScript, parseFacts } from '../../../src/lib/operator/facts.js';
import { answer, encoded, facts } from './sample.js';

describe('parseFacts', () => {
  it('reads an ordinary host', () => {
    expect(facts()).toMatchObject({
      hostname: 'web-1.example.net',
      elevation: 'root',
      os: { id: 'debian', like: [], name: 'Debian GNU/Linux 12 (bookworm)' },
      cpus: 4,
      memoryBytes: 4 * 1024 ** 3,
      disk: { freeBytes: 20_000_000 * 1024, path: '/var/lib/docker' },
      clock: 1_700_000_000_000,
      ssh: { address: '10.0.0.1', port: 22 },
      docker: { installed: true, liveRestore: false, swarm: 'inactive', liveRestoreFlag: false },
      listeners: [{ port: 22, address: '0.0.0.0', pid: 700, process: 'sshd' }],
    });
  });

  const id = 'ab'.repeat(32);
  it.each([
    ['an IPv6 listener', `listen=[::]:80 12 ${id} haproxy`, { port: 80, address: '::', container: id }],
    ['a listener on an interface', 'listen=127.0.0.53%lo:53 5  systemd-resolve', { port: 53 }],
    ['a name with spaces', 'listen=*:443 9  my web server', { port: 443, process: 'my web server' }],
    ['a listener of nobody known', 'listen=127.0.0.1:2379   ', { port: 2379, address: '127.0.0.1' }],
  ])('given %s, it is told apart', (_name, line, expected) => {
    expect(facts([line]).listeners.at(-1)).toMatchObject(expected);
  });

  it('given a broken listener line, leaves it out', () => {
    expect(facts(['listen=nonsense']).listeners).toHaveLength(1);
  });

  it('decodes what may hold anything, line breaks and equal signs included', () => {
    const text = '{\n  "a": "x=y"\n}';
    expect(facts([`daemon_json=${encoded(text)}`]).docker.daemonJson).toBe(text);
  });

  it('names the cluster that a host belongs to, also when the file is broken', () => {
    const file = JSON.stringify({ cluster: { id: 'i', name: 'n' }, host: 'a', more: 1 });
    expect(facts([`member=${encoded(file)}`]).member).toEqual({ id: 'i', name: 'n', host: 'a' });
    expect(facts([`member=${encoded('{')}`]).member).toEqual({
      id: 'unknown',
      name: 'unknown',
      host: 'unknown',
    });
    expect(facts().member).toBeUndefined();
  });

  it('given an answer that is cut short, throws instead of guessing', () => {
    expect(() => parseFacts(answer([], ['end=']))).toThrow(/cut short/);
  });

  it('the script runs under a plain POSIX shell and answers to its end', () => {
    const text = execFileSync('sh', ['-c', factsScript], { encoding: 'utf8', timeout: 30_000 });
    const found = parseFacts(text);
    expect(found.cpus).toBeGreaterThan(0);
    expect(found.memoryBytes).toBeGreaterThan(1024 ** 2);
    expect(found.disk.freeBytes).toBeGreaterThan(0);
    expect(Math.abs(found.clock - Date.now())).toBeLessThan(20_000);
  }, 40_000);
});
