// Which public keys may come in, followed from the store; what was known stays known while the store is away.
import { createHash } from 'node:crypto';
import { keys as storeKeys } from '../../api/keys.js';
import { SshKey } from '../../api/app.js';
import { createInformer, type Informer, type Store } from '../../store/index.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../util/log.js';

/** What the book of keys needs. */
export interface KeyBookOptions {
  store: Pick<Store, 'list' | 'watch'>;
  clock: Clock;
  log?: Log;
}

/** The keys that may come in. */
export class KeyBook {
  private readonly informer: Informer<SshKey>;
  private readonly byFingerprint = new Map<string, SshKey>();

  constructor(options: KeyBookOptions) {
    this.informer = createInformer({
      ...options,
      prefix: storeKeys.sshKeys,
      parse: (_key, value) => SshKey.parse(JSON.parse(value)),
    });
    this.informer.onChange(() => this.rebuild());
  }

  /** Begins to follow the store, until the signal is aborted. */
  start(signal: AbortSignal): void {
    this.informer.start(signal);
  }

  /** Resolves at the first full list of keys. */
  get ready(): Promise<void> {
    return this.informer.ready;
  }

  /** Calls back when keys came, changed or went; the returned function ends that. */
  onChange(cb: () => void): () => void {
    return this.informer.onChange(() => cb());
  }

  /** The record of a public key, by its wire blob; undefined when it may not come in. */
  find(blob: Buffer): SshKey | undefined {
    const key = this.byFingerprint.get(fingerprintOf(blob));
    // The blob itself decides: a record that was stored under a wrong fingerprint opens nothing.
    return key && Buffer.from(key.blob, 'base64').equals(blob) ? key : undefined;
  }

  private rebuild(): void {
    this.byFingerprint.clear();
    for (const { value } of this.informer.items().values()) this.byFingerprint.set(value.fingerprint, value);
  }
}

/** Fingerprint of a public key's wire blob, as ssh-keygen prints it. */
export function fingerprintOf(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}
