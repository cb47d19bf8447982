// Clusters as this computer knows them, and the string for places that know none.
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  addCluster,
  chooseCluster,
  forgetCluster,
  formatClusterString,
  loadClusters,
  parseClusterString,
  saveCluster,
  useCluster,
  type LocalCluster,
} from '../../../src/lib/operator/context.js';
import { loadJournal, newSecrets, saveJournal } from '../../../src/lib/operator/journal.js';
import { journalOf } from './sample.js';

const key = `SHA256:${'aB+/'.repeat(10)}xyz`;
const cluster = (name: string, over: Partial<LocalCluster> = {}): LocalCluster => ({
  name,
  gateways: ['203.0.113.1:2222'],
  fingerprint: key,
  hosts: [],
  ...over,
});
let home: string;
beforeEach(async () => {
  home = join(await mkdtemp(join(tmpdir(), 'flynn-context-')), 'home');
});
afterEach(() => rm(join(home, '..'), { recursive: true, force: true }));

describe('the cluster string', () => {
  it('is read back as it was written', () => {
    const access = {
      name: 'prod',
      gateways: ['203.0.113.1:2222', '[2001:db8::1]:2222', 'gw.example.com:22'],
      fingerprint: key,
    };
    const text = formatClusterString(access);
    expect(text).toMatch(
      /^flynn:\/\/203\.0\.113\.1:2222,\[2001:db8::1\]:2222,gw\.example\.com:22\/prod\?key=SHA256%3A/,
    );
    expect(parseClusterString(text)).toEqual(access);
  });

  it('is read with a plus sign that nobody encoded', () => {
    expect(parseClusterString(`flynn://h:1/n?key=${key}`).fingerprint).toBe(key);
  });

  it.each([
    ['flynn://h:1', /cut short/],
    ['flynn://h:1/n', /cut short/],
    ['ssh://h:1/n?key=x', /cut short/],
    [`flynn://h/n?key=${key}`, /without a port/],
    [`flynn://h:0/n?key=${key}`, /without a port/],
    [`flynn://h:99999/n?key=${key}`, /without a port/],
    [`flynn://,/n?key=${key}`, /names no gateway/],
    [`flynn://h:1/N?key=${key}`, /bad name/],
    ['flynn://h:1/n?key=MD5:aa', /no host key/],
    ['flynn://h:1/n?other=1', /no host key/],
  ])('%s is refused', (text, message) => {
    expect(() => parseClusterString(text)).toThrow(message);
  });
});

describe('chooseCluster', () => {
  const choose = (flag?: string, env: Record<string, string> = {}) =>
    chooseCluster({ home, env, ...(flag === undefined ? {} : { flag }) });

  it('-c comes before FLYNN_CLUSTER, that before the default; each may be a name or a string', async () => {
    for (const name of ['one', 'two', 'three']) await saveCluster(home, cluster(name), false);
    expect((await choose()).name).toBe('one');
    expect((await choose(undefined, { FLYNN_CLUSTER: 'two' })).name).toBe('two');
    expect((await choose('three', { FLYNN_CLUSTER: 'two' })).name).toBe('three');
    const text = formatClusterString(cluster('ci'));
    expect(await choose(undefined, { FLYNN_CLUSTER: text })).toEqual({
      name: 'ci',
      gateways: ['203.0.113.1:2222'],
      fingerprint: key,
    });
  });

  it('given nothing, says how to get a cluster; given a name that is unknown, says so', async () => {
    await expect(choose()).rejects.toMatchObject({ code: 'missing' });
    await expect(choose('none')).rejects.toMatchObject({ code: 'not_found' });
    await saveCluster(home, cluster('one'), false);
    await expect(choose('constructor')).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('the list of clusters', () => {
  it('is private, and leaves no half-written file behind', async () => {
    await saveCluster(home, cluster('one'), true);
    expect((await stat(join(home, 'clusters.json'))).mode & 0o777).toBe(0o600);
    expect((await stat(home)).mode & 0o777).toBe(0o700);
    expect(await readdir(home)).toEqual(['clusters.json']);
  });

  it('use, forget: the default goes to the only one left', async () => {
    for (const name of ['one', 'two']) await saveCluster(home, cluster(name), false);
    await useCluster(home, 'two');
    expect((await loadClusters(home)).default).toBe('two');
    await forgetCluster(home, 'two');
    expect((await loadClusters(home)).default).toBe('one');
    await forgetCluster(home, 'one');
    expect(await loadClusters(home)).toEqual({ clusters: {} });
    await expect(forgetCluster(home, 'one')).rejects.toMatchObject({ code: 'not_found' });
    await expect(useCluster(home, 'one')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('given a file that is not ours, names it', async () => {
    await saveCluster(home, cluster('one'), true);
    await writeFile(join(home, 'clusters.json'), '{broken');
    await expect(loadClusters(home)).rejects.toMatchObject({ code: 'invalid' });
  });

  it('add: again changes nothing and keeps what is known, another of that name needs force', async () => {
    const hosts = [
      {
        name: 'a',
        target: { host: 'a', port: 22, user: 'root' },
        hostKey: key,
        address: '10.0.0.1',
        publicAddress: '1.2.3.4',
        roles: [],
      },
    ];
    await saveCluster(home, cluster('prod', { hosts, domain: 'example.com' }), true);
    const text = formatClusterString(cluster('prod', { gateways: ['203.0.113.9:2222'] }));
    await addCluster(home, { string: text, makeDefault: false, replace: false });
    expect((await loadClusters(home)).clusters.prod).toMatchObject({
      hosts: [{ name: 'a' }],
      domain: 'example.com',
      gateways: ['203.0.113.9:2222'],
    });
    const other = formatClusterString(cluster('prod', { fingerprint: `SHA256:${'C'.repeat(43)}` }));
    const add = (replace: boolean) => addCluster(home, { string: other, makeDefault: false, replace });
    await expect(add(false)).rejects.toMatchObject({ code: 'exists' });
    await add(true);
    expect((await loadClusters(home)).clusters.prod).toMatchObject({ hosts: [] });
  });
});

describe('the journal', () => {
  it('is read back as written, privately; secrets alone are no journal', async () => {
    const journal = journalOf('a');
    const { secrets } = await newSecrets('test', journal.hosts, 1);
    expect(await loadJournal(home, 'test')).toBeUndefined();
    await saveJournal(home, journal, secrets);
    expect(await loadJournal(home, 'test')).toEqual({ journal, secrets });
    expect((await stat(join(home, 'test', 'secrets.json'))).mode & 0o777).toBe(0o600);
    await rm(join(home, 'test', 'cluster.json'));
    expect(await loadJournal(home, 'test')).toBeUndefined();
  });
});
