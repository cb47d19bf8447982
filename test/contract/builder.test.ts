// A build against two real registries: the slug goes in as a layer, the image comes out whole, on both copies, by digest.
import { createHash } from 'node:crypto';
import https from 'node:https';
import { Readable } from 'node:stream';
import { gunzipSync, gzipSync } from 'node:zlib';
import { extract, pack } from 'tar-stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { frame, type Frame } from '../../src/lib/api/attach.js';
import { build, type AttachedJob } from '../../src/lib/layer1/builder/build.js';
import type { ImageConfig } from '../../src/lib/layer1/builder/image.js';
import {
  configType,
  copyTag,
  digestOf,
  layerType,
  manifestType,
  type RegistryClient,
} from '../../src/lib/layer1/registry/client.js';
import { startRegistry, type RegistryServer } from '../fakes/registry-server.js';
import { makeCerts } from '../fakes/test-certs.js';

let servers: RegistryServer[] = [];
let first: RegistryClient;
let second: RegistryClient;

const tar = async (files: Record<string, string | Buffer>): Promise<Buffer> => {
  const archive = pack();
  for (const [name, content] of Object.entries(files))
    archive.entry({ name, mode: 0o755, uid: 1001, gid: 1001 }, content);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
};
const filesOf = async (data: Buffer): Promise<string[]> => {
  const names: string[] = [];
  const reader = extract();
  Readable.from([data]).pipe(reader);
  for await (const entry of reader) {
    names.push(entry.header.name);
    entry.resume();
  }
  return names;
};
const read = async (stream: AsyncIterable<Buffer>): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
};

/** A builder's job that takes the source, then says the frames. */
const jobOf = (output: () => Promise<Frame[]>) => {
  const input: Buffer[] = [];
  let ended = (): void => undefined;
  const eof = new Promise<void>((resolve) => (ended = resolve));
  const job: AttachedJob & { closed: boolean } = {
    ...{ job: 'a-1', host: 'a', closed: false },
    write: async (chunk) => void input.push(Buffer.from(chunk)),
    end: async () => ended(),
    frames: (async function* () {
      await eof;
      yield* await output();
    })(),
    close: () => {
      job.closed = true;
      ended();
    },
  };
  return { job, input: () => Buffer.concat(input) };
};
const split = (type: number, data: Buffer, size: number): Frame[] => {
  const frames: Frame[] = [];
  for (let at = 0; at < data.length; at += size) frames.push({ type, payload: data.subarray(at, at + size) });
  return frames;
};
const source = async function* () {
  yield Buffer.alloc(200_000, 's');
};

beforeAll(async () => {
  const certs = await makeCerts();
  servers = [await startRegistry(certs), await startRegistry(certs)];
  [first, second] = servers.map(({ client }) => client) as [RegistryClient, RegistryClient];
  // A base image as `docker push` leaves it.
  const layer = gzipSync(await tar({ 'flynn/start': '#!/bin/bash\n' }));
  const config: ImageConfig = {
    ...{ architecture: 'amd64', os: 'linux', config: { Entrypoint: ['/flynn/start'], User: 'app' } },
    rootfs: { type: 'layers', diff_ids: [digestOf(gunzipSync(layer))] },
    history: [{ created_by: 'base' }],
  };
  const text = Buffer.from(JSON.stringify(config));
  for (const blob of [layer, text]) await first.upload('flynn/slugrunner', Readable.from([blob]));
  await first.putManifest(
    'flynn/slugrunner',
    'r1',
    JSON.stringify({
      ...{ schemaVersion: 2, mediaType: manifestType },
      config: { mediaType: configType, digest: digestOf(text), size: text.length },
      layers: [{ mediaType: layerType, digest: digestOf(layer), size: layer.length }],
    }),
  );
});
afterAll(async () => {
  for (const server of servers) await server.stop();
});

describe('given two real registries', () => {
  it('when nobody shows a certificate, then nothing is served', async () => {
    const failure = await new Promise<string>((resolve) => {
      https
        .get(`${first.base}/v2/`, { rejectUnauthorized: false }, () => resolve('served'))
        .on('error', (error) => resolve(error.message));
    });
    expect(failure).not.toBe('served');
  });

  it('when a source is built, then both copies hold an image whose last layer is the slug', async () => {
    const slugTar = await tar({
      'app/server.js': Buffer.alloc(3_000_000, 'x'),
      'app/Procfile': 'web: node server.js\n',
    });
    const slug = gzipSync(slugTar);
    const head = Buffer.from(
      `${JSON.stringify({ buildpack: 'Node.js', processes: { web: 'node server.js' } })}\n`,
    );
    const lines: string[] = [];
    const { job, input } = jobOf(async () => [
      ...split(frame.stderr, Buffer.from('-----> Äpp\n-----> done\n'), 7),
      ...split(frame.stdout, Buffer.concat([head, slug]), 1_000),
      { type: frame.exit, payload: Buffer.from('{"code":0}') },
    ]);
    const request = {
      app: 'hello',
      source: source(),
      env: { A: 'b' },
      commit: 'abc1234',
      onLine: (line: string) => lines.push(line),
      signal: new AbortController().signal,
    };
    const ports = {
      startBuilder: async () => job,
      registries: async () => [first, second],
      slugrunner: async () => ({ repository: 'flynn/slugrunner', tag: 'r1' }),
    };
    const built = await build(request, ports);

    expect(lines).toEqual(['-----> Äpp', '-----> done']);
    const sent = input();
    expect(JSON.parse(sent.toString('utf8', 0, sent.indexOf(10)))).toEqual({
      env: { A: 'b' },
      commit: 'abc1234',
    });
    expect(sent.length - sent.indexOf(10) - 1).toBe(200_000);
    expect(job.closed).toBe(true);
    expect(built).toMatchObject({ buildpack: 'Node.js', processes: { web: 'node server.js' } });

    const digest = built.image.split('@')[1]!;
    expect(built.image).toBe(`127.0.0.1:5555/hello@${digest}`);
    for (const copy of [first, second]) {
      const stored = (await copy.manifest('hello', digest))!;
      expect(stored.digest).toBe(digest);
      const { layers, config } = stored.manifest;
      expect(layers).toHaveLength(2);
      for (const { digest: layer, size } of layers) {
        const data = await read(await copy.openBlob('hello', layer));
        expect([`sha256:${createHash('sha256').update(data).digest('hex')}`, data.length]).toEqual([
          layer,
          size,
        ]);
      }
      const last = gunzipSync(await read(await copy.openBlob('hello', layers[1]!.digest)));
      expect(await filesOf(last)).toEqual(['app/server.js', 'app/Procfile']);
      const parsed = JSON.parse((await copy.blob('hello', config.digest)).toString()) as ImageConfig;
      expect(parsed.rootfs.diff_ids[1]).toBe(digestOf(slugTar));
      expect(parsed.config).toMatchObject({
        Entrypoint: ['/flynn/start'],
        User: 'app',
        Labels: { 'flynn.app': 'hello', 'flynn.commit': 'abc1234' },
      });
    }
  });

  it('when the slug arrives damaged, then the build fails and says so', async () => {
    const { job } = jobOf(async () => [
      {
        type: frame.stdout,
        payload: Buffer.from('{"buildpack":"x","processes":{"web":"x"}}\nno gzip at all'),
      },
      { type: frame.exit, payload: Buffer.from('{"code":0}') },
    ]);
    const failing = build(
      {
        app: 'hello',
        source: source(),
        env: {},
        onLine: () => undefined,
        signal: new AbortController().signal,
      },
      {
        startBuilder: async () => job,
        registries: async () => [first],
        slugrunner: async () => ({ repository: 'flynn/slugrunner', tag: 'r1' }),
      },
    );
    await expect(failing).rejects.toMatchObject({ code: 'build_failed' });
  });

  it('when a tag is copied, then the other copy has the same under it, and a second copy sends nothing', async () => {
    await copyTag(first, second, 'flynn/slugrunner', 'r1');
    const stored = (await second.manifest('flynn/slugrunner', 'r1'))!;
    expect(stored.digest).toBe((await first.manifest('flynn/slugrunner', 'r1'))!.digest);
    for (const { digest } of stored.manifest.layers)
      expect(await second.has('flynn/slugrunner', digest)).toBe(true);
    await copyTag(first, second, 'flynn/slugrunner', 'r1');
    await expect(copyTag(first, second, 'flynn/slugrunner', 'nope')).rejects.toMatchObject({
      code: 'image_missing',
    });
  });
});
