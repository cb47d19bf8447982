// --ca-cert: what is taken from the file, where it goes on hosts, and how build contexts trust it.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builderTemplate } from '../../../src/lib/layer1/controller/builds.js';
import { readCaCert } from '../../../src/lib/operator/ca-cert.js';
import { hostDirs, hostFiles } from '../../../src/lib/operator/host-files.js';
import { trusting } from '../../../src/lib/operator/image-trust.js';
import { withHosts } from '../../../src/lib/operator/join.js';
import { newSecrets, type ClusterJournal, type ClusterSecrets } from '../../../src/lib/operator/journal.js';
import { newAuthority } from '../../../src/lib/operator/pki.js';
import { planBootstrap } from '../../../src/lib/operator/plan.js';
import { splitBundle } from '../../../src/lib/util/pem.js';
import { facts, journalOf } from './sample.js';

let dir: string;
let one: { cert: string; key: string };
let other: { cert: string; key: string };
let secrets: ClusterSecrets;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'flynn-trust-'));
  one = await newAuthority('one', 1_700_000_000_000);
  other = await newAuthority('other', 1_700_000_000_000);
  ({ secrets } = await newSecrets('test', journalOf('a', 'b').hosts, 1));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const file = async (text: string): Promise<string> => {
  const path = join(dir, 'given.crt');
  await writeFile(path, text);
  return path;
};

describe('the file of --ca-cert', () => {
  it('given certificates with words between them, one twice, then each is taken once and nothing else', async () => {
    const text = `# proxy\r\n${one.cert.replaceAll('\n', '\r\n')}\nsubject=x\n${other.cert}\n${one.cert}`;
    const taken = await readCaCert(await file(text));
    expect(splitBundle(taken)).toEqual([one.cert.trim(), other.cert.trim()]);
    expect(taken).not.toContain('subject');
    expect(taken).not.toContain('\r');
  });

  it.each<[string, () => string, RegExp]>([
    ['no certificate', () => 'hello\n', /no PEM certificate/],
    ['a private key beside the certificate', () => one.cert + one.key, /private key/],
    [
      'a damaged certificate',
      () => one.cert.replace(/\n.{20}/, '\nAAAA'),
      /damaged certificate \(number 1\)/,
    ],
    ['more than 1 MiB', () => 'x'.repeat(1024 * 1024 + 1), /larger than 1 MiB/],
  ])('given %s, then it is refused with exit code 2 and says what to do', async (_what, text, message) => {
    const failure = readCaCert(await file(text()));
    await expect(failure).rejects.toThrow(message);
    await expect(failure).rejects.toMatchObject({ exitCode: 2, hint: expect.stringMatching(/./) });
  });

  it('given no file, then exit code 3; given a directory, then 2', async () => {
    await expect(readCaCert(join(dir, 'absent'))).rejects.toMatchObject({ exitCode: 3, code: 'not_found' });
    await expect(readCaCert(dir)).rejects.toMatchObject({ exitCode: 2, code: 'invalid' });
  });
});

describe('hosts', () => {
  const trustOf = (journal: ClusterJournal, name: string) =>
    hostFiles(
      journal,
      secrets,
      journal.hosts.find((host) => host.name === name)!,
    ).filter(({ path }) => path.startsWith('/etc/flynn/trust/'));

  it('given no authority, then the directory is there and empty: build jobs mount it', () => {
    const journal = journalOf('a');
    expect(hostDirs({}, journal.hosts[0]!)).toContainEqual({ path: '/etc/flynn/trust', mode: 0o755 });
    expect(trustOf(journal, 'a')).toEqual([]);
    expect(builderTemplate('x').mounts).toEqual([
      { type: 'bind', source: '/etc/flynn/trust', target: '/etc/flynn/trust', readOnly: true },
    ]);
  });

  it('given authorities of the cluster and of one host, then each host has its own, or what the cluster has', () => {
    const journal = { ...journalOf('a', 'b'), trust: one.cert };
    journal.hosts[1]!.trust = other.cert;
    expect(trustOf(journal, 'a')).toEqual([
      { path: '/etc/flynn/trust/ca.crt', mode: 0o644, content: one.cert },
    ]);
    expect(trustOf(journal, 'b').map(({ content }) => content)).toEqual([other.cert]);
  });

  it('given hosts that join with an authority, then it is theirs alone; given none, then nothing changes', async () => {
    const known = { journal: journalOf('a', 'b'), secrets };
    const looked = [
      {
        named: { target: { host: 'b', port: 22, user: 'root' }, address: 'b' },
        report: { name: 'b', facts: facts(), skewMs: 0 },
      },
    ] as unknown as Parameters<typeof withHosts>[1];
    const { journal } = await withHosts(known, looked, [], 1, one.cert);
    expect(journal.hosts.map(({ trust }) => trust)).toEqual([undefined, one.cert]);
    expect((await withHosts(known, looked, [], 1)).journal).toEqual(known.journal);
  });

  it('given an authority, when images are built, then the plan says that they trust it', () => {
    const journal = { ...journalOf('a'), trust: one.cert };
    const input = { secrets, images: undefined, facts: new Map() };
    const detail = (of: ClusterJournal): string[] | undefined =>
      planBootstrap({ ...input, journal: of }).find(({ kind }) => kind === 'images.build')?.detail;
    expect(detail(journal)).toContain('trusting the certificates of --ca-cert');
    expect(detail(journalOf('a'))).toHaveLength(1);
  });
});

describe('build contexts', () => {
  const context = () => new Map([['Dockerfile', Buffer.from('# x\nFROM debian\nRUN apt-get update\n')]]);

  it('given no certificates, then the context is the same, so that images keep their names', () => {
    expect(trusting(context(), [])).toEqual(context());
  });

  it('given two, then both are in it, one a file, and trusted before the first step', () => {
    const files = trusting(context(), ['PEM 1', 'PEM 2']);
    expect([...files.keys()]).toEqual(['Dockerfile', 'trust/operator-0.crt', 'trust/operator-1.crt']);
    expect(files.get('trust/operator-1.crt')?.toString()).toBe('PEM 2\n');
    expect(files.get('Dockerfile')?.toString().split('\n')).toEqual([
      '# x',
      'FROM debian',
      'COPY trust/ /usr/local/share/ca-certificates/flynn/',
      'RUN mkdir -p /etc/ssl/certs && cat /usr/local/share/ca-certificates/flynn/*.crt >> /etc/ssl/certs/ca-certificates.crt',
      'RUN apt-get update',
      '',
    ]);
  });
});
