// A copy of the registry in memory, with the client's own interface: blobs and manifests by repository.
import type { IncomingMessage } from 'node:http';
import { Agent } from 'node:https';
import { Readable } from 'node:stream';
import {
  digestOf,
  manifestType,
  RegistryClient,
  type Manifest,
} from '../../src/lib/layer1/registry/client.js';

/** A registry that keeps what it is given. */
export class FakeRegistry extends RegistryClient {
  readonly blobs = new Map<string, Buffer>();
  /** Texts by `repository:tag` and `repository@digest`. */
  readonly manifests = new Map<string, string>();
  up = true;

  constructor(base: string) {
    super(base, new Agent());
  }

  override alive(): Promise<boolean> {
    return Promise.resolve(this.up);
  }

  override manifest(repository: string, reference: string) {
    const text = this.manifests.get(`${repository}:${reference}`);
    if (text === undefined) return Promise.resolve(undefined);
    return Promise.resolve({ digest: digestOf(text), text, manifest: JSON.parse(text) as Manifest });
  }

  override putManifest(repository: string, reference: string, text: string): Promise<string> {
    const { layers, config } = JSON.parse(text) as Manifest;
    for (const { digest } of [...layers, config]) {
      if (!this.blobs.has(`${repository} ${digest}`))
        throw new Error(`manifest of ${repository} names ${digest}, which is not there`);
    }
    for (const name of [reference, digestOf(text)]) this.manifests.set(`${repository}:${name}`, text);
    return Promise.resolve(digestOf(text));
  }

  override has(repository: string, digest: string): Promise<boolean> {
    return Promise.resolve(this.blobs.has(`${repository} ${digest}`));
  }

  override async mount(repository: string, digest: string, from: string): Promise<boolean> {
    const blob = this.blobs.get(`${from} ${digest}`);
    if (blob) this.blobs.set(`${repository} ${digest}`, blob);
    return blob !== undefined;
  }

  override async blob(repository: string, digest: string): Promise<Buffer> {
    const blob = this.blobs.get(`${repository} ${digest}`);
    if (!blob) throw new Error(`no blob ${digest} in ${repository}`);
    return blob;
  }

  override async openBlob(repository: string, digest: string): Promise<IncomingMessage> {
    return Readable.from([await this.blob(repository, digest)]) as unknown as IncomingMessage;
  }

  override async upload(repository: string, content: AsyncIterable<Buffer>) {
    const chunks: Buffer[] = [];
    for await (const chunk of content) chunks.push(Buffer.from(chunk));
    const data = Buffer.concat(chunks);
    const digest = digestOf(data);
    this.blobs.set(`${repository} ${digest}`, data);
    return { digest, size: data.length };
  }

  /** Puts a small image there, as a push from a host does. */
  async seed(repository: string, tag: string): Promise<void> {
    const layer = Buffer.from('base layer');
    const config = Buffer.from(
      JSON.stringify({
        architecture: 'amd64',
        os: 'linux',
        rootfs: { type: 'layers', diff_ids: [digestOf('base')] },
      }),
    );
    for (const blob of [layer, config]) this.blobs.set(`${repository} ${digestOf(blob)}`, blob);
    const descriptor = (data: Buffer) => ({ mediaType: 'x', digest: digestOf(data), size: data.length });
    const text = JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: descriptor(config),
      layers: [descriptor(layer)],
    });
    await this.putManifest(repository, tag, text);
  }
}
