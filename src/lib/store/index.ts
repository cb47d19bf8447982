// What the store room offers. The adapter is loaded on demand: etcd3 costs 100 ms at start.
export * from './election.js';
export * from './fenced.js';
export * from './informer.js';
export * from './port.js';
export * from './session.js';
import type { EtcdOptions } from './etcd-calls.js';
import type { StoreTls } from './etcd-endpoint.js';
import type { EtcdStore } from './etcd.js';

export type { EtcdOptions, EtcdStore, StoreTls };

/** A client of etcd; nothing is connected before the first call. */
export const openStore = async (opts: EtcdOptions): Promise<EtcdStore> => {
  const { EtcdStore } = await import('./etcd.js');
  return new EtcdStore(opts);
};
