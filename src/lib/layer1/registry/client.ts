// Client of a Docker registry (distribution API v2) over mTLS: blobs as streams, manifests by digest.
import { createHash } from 'node:crypto';
import { Agent, request, type RequestOptions } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { FlynnError } from '../../api/errors.js';
import { ports } from '../../api/grid.js';

export const manifestType = 'application/vnd.docker.distribution.manifest.v2+json';
export const configType = 'application/vnd.docker.container.image.v1+json';
export const layerType = 'application/vnd.docker.image.rootfs.diff.tar.gzip';

/** Something stored by content: `sha256:…` with its length in bytes. */
export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
}

export interface Manifest {
  schemaVersion: 2;
  mediaType: typeof manifestType;
  config: Descriptor;
  layers: Descriptor[];
}

/** A manifest may be no larger than this, as registries themselves demand; so may a config. */
const maxDocument = 4 * 1024 * 1024;
const callTimeoutMs = 30_000;

/** `sha256:…` of some bytes. */
export function digestOf(data: Buffer | string): string {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

/** One copy of the registry. */
export class RegistryClient {
  /** `base` is `https://address:port`; the agent carries the identity. */
  constructor(
    readonly base: string,
    private readonly agent: Agent,
  ) {}

  /** True when this copy answers. */
  async alive(): Promise<boolean> {
    return (await this.call('GET', '/v2/', { timeoutMs: 2_000 }).catch(() => undefined))?.status === 200;
  }

  /** The manifest of a tag or digest; undefined when this copy does not hold it. */
  async manifest(
    repository: string,
    reference: string,
  ): Promise<{ digest: string; text: string; manifest: Manifest } | undefined> {
    const answer = await this.call('GET', `/v2/${repository}/manifests/${reference}`, {
      headers: { accept: manifestType },
    });
    if (answer.status === 404) return undefined;
    this.expect(answer, [200], `manifest ${repository}:${reference}`);
    return {
      digest: digestOf(answer.body),
      text: answer.body.toString('utf8'),
      manifest: JSON.parse(answer.body.toString('utf8')) as Manifest,
    };
  }

  /** Stores a manifest under a tag or its digest; returns its digest. */
  async putManifest(repository: string, reference: string, text: string): Promise<string> {
    const answer = await this.call('PUT', `/v2/${repository}/manifests/${reference}`, {
      headers: { 'content-type': manifestType },
      body: Buffer.from(text),
    });
    this.expect(answer, [201], `manifest ${repository}:${reference}`);
    return digestOf(text);
  }

  /** Whether a blob is there. */
  async has(repository: string, digest: string): Promise<boolean> {
    const answer = await this.call('HEAD', `/v2/${repository}/blobs/${digest}`, {});
    if (answer.status === 404) return false;
    this.expect(answer, [200], `blob ${digest}`);
    return true;
  }

  /** Makes a blob of another repository part of this one without sending it; false when it has to be sent. */
  async mount(repository: string, digest: string, from: string): Promise<boolean> {
    if (await this.has(repository, digest)) return true;
    const query = new URLSearchParams({ mount: digest, from });
    const answer = await this.call('POST', `/v2/${repository}/blobs/uploads/?${query.toString()}`, {
      body: Buffer.alloc(0),
    });
    this.expect(answer, [201, 202], `mount of ${digest}`);
    return answer.status === 201;
  }

  /** A small blob (an image's config) whole. */
  async blob(repository: string, digest: string): Promise<Buffer> {
    const answer = await this.call('GET', `/v2/${repository}/blobs/${digest}`, {});
    this.expect(answer, [200], `blob ${digest}`);
    return answer.body;
  }

  /** A blob as a stream. */
  async openBlob(repository: string, digest: string): Promise<IncomingMessage> {
    const response = await this.open('GET', `/v2/${repository}/blobs/${digest}`, {}, 0);
    if (response.statusCode !== 200) {
      response.resume();
      throw this.failure(`blob ${digest}`, response.statusCode ?? 0, '');
    }
    return response;
  }

  /** Sends a stream as a blob; the digest is reckoned on the way. Nothing is held in memory. */
  async upload(
    repository: string,
    content: AsyncIterable<Buffer>,
  ): Promise<{ digest: string; size: number }> {
    const begun = await this.call('POST', `/v2/${repository}/blobs/uploads/`, { body: Buffer.alloc(0) });
    this.expect(begun, [202], `upload to ${repository}`);
    const hash = createHash('sha256');
    let size = 0;
    const counted = async function* () {
      for await (const chunk of content) {
        hash.update(chunk);
        size += chunk.length;
        yield chunk;
      }
    };
    const patched = await this.call('PATCH', this.pathOf(begun.location), {
      headers: { 'content-type': 'application/octet-stream' },
      stream: counted(),
      timeoutMs: 0,
    });
    this.expect(patched, [202, 204], `upload to ${repository}`);
    const digest = `sha256:${hash.digest('hex')}`;
    const end = new URL(patched.location ?? begun.location ?? '', this.base);
    end.searchParams.set('digest', digest);
    const done = await this.call('PUT', end.pathname + end.search, { body: Buffer.alloc(0) });
    this.expect(done, [201], `upload to ${repository}`);
    return { digest, size };
  }

  private pathOf(location: string | undefined): string {
    const url = new URL(location ?? '', this.base);
    return url.pathname + url.search;
  }

  private expect(answer: Answer, statuses: number[], what: string): void {
    if (!statuses.includes(answer.status))
      throw this.failure(what, answer.status, answer.body.toString('utf8').slice(0, 300));
  }

  private failure(what: string, status: number, text: string): FlynnError {
    return new FlynnError({
      code: 'internal',
      message: `registry ${this.base}: ${what}: status ${status} ${text}`.trim(),
    });
  }

  private async call(method: string, path: string, options: CallOptions): Promise<Answer> {
    const response = await this.open(method, path, options, options.timeoutMs ?? callTimeoutMs);
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxDocument) throw this.failure(path, response.statusCode ?? 0, 'the answer is too large');
      chunks.push(chunk);
    }
    return {
      status: response.statusCode ?? 0,
      body: Buffer.concat(chunks),
      location: response.headers.location,
    };
  }

  private open(
    method: string,
    path: string,
    options: CallOptions,
    timeoutMs: number,
  ): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const settings: RequestOptions = { method, agent: this.agent, headers: { ...options.headers } };
      if (options.body) settings.headers = { ...settings.headers, 'content-length': options.body.length };
      const req = request(new URL(path, this.base), settings, resolve);
      const timer =
        timeoutMs > 0
          ? setTimeout(() => req.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
          : undefined;
      req.once('close', () => clearTimeout(timer));
      req.once('error', (cause) =>
        reject(
          new FlynnError({ code: 'unreachable', message: `registry ${this.base}: ${cause.message}`, cause }),
        ),
      );
      if (options.stream) {
        pump(options.stream, req).then(
          () => req.end(),
          (error: Error) => req.destroy(error),
        );
      } else {
        req.end(options.body);
      }
    });
  }
}

interface CallOptions {
  headers?: Record<string, string>;
  body?: Buffer;
  stream?: AsyncIterable<Buffer>;
  timeoutMs?: number;
}

interface Answer {
  status: number;
  body: Buffer;
  location: string | undefined;
}

/** Writes with backpressure; ends early when the other side goes away. */
async function pump(
  from: AsyncIterable<Buffer>,
  to: NodeJS.WritableStream & { destroyed?: boolean },
): Promise<void> {
  for await (const chunk of from) {
    if (to.destroyed) throw new Error('the registry closed the connection');
    if (!to.write(chunk)) {
      await new Promise<void>((resolve) => {
        const done = () => {
          to.off('drain', done);
          to.off('close', done);
          resolve();
        };
        to.once('drain', done);
        to.once('close', done);
      });
    }
  }
}

/** Copies an image by digest from one registry copy to another; what is there already is not sent. */
export async function copyImage(
  from: RegistryClient,
  to: RegistryClient,
  repository: string,
  digest: string,
): Promise<void> {
  if (await to.manifest(repository, digest)) return;
  const source = await from.manifest(repository, digest);
  if (!source)
    throw new FlynnError({
      code: 'image_missing',
      message: `registry ${from.base} has no ${repository}@${digest}`,
    });
  for (const { digest: blob } of [...source.manifest.layers, source.manifest.config]) {
    if (await to.has(repository, blob)) continue;
    await to.upload(repository, await from.openBlob(repository, blob));
  }
  await to.putManifest(repository, digest, source.text);
}

/** Copies what a tag stands for; nothing is sent when the other copy has the same under it. Throws `image_missing`. */
export async function copyTag(
  from: RegistryClient,
  to: RegistryClient,
  repository: string,
  tag: string,
): Promise<void> {
  const source = await from.manifest(repository, tag);
  if (!source)
    throw new FlynnError({
      code: 'image_missing',
      message: `registry ${from.base} has no ${repository}:${tag}`,
    });
  if ((await to.manifest(repository, tag))?.digest === source.digest) return;
  await copyImage(from, to, repository, source.digest);
  await to.putManifest(repository, tag, source.text);
}

/** Clients of the copies of the registry that share one identity and its connections. */
export function registryClients(identity: { ca: string; cert: string; key: string }): {
  /** The copy at a host's address. */
  at(address: string): RegistryClient;
  /** Ends all kept-alive connections. */
  close(): void;
} {
  const agent = new Agent({ ...identity, keepAlive: true, maxSockets: 32, minVersion: 'TLSv1.2' });
  return {
    at: (address) =>
      new RegistryClient(
        `https://${address.includes(':') ? `[${address}]` : address}:${ports.registry}`,
        agent,
      ),
    close: () => agent.destroy(),
  };
}
