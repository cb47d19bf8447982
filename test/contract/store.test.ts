// The store's contract on a real etcd.
import { afterAll, beforeAll } from 'vitest';
import { EtcdStore } from '../../src/lib/store/etcd.js';
import { startEtcd, type EtcdServer } from '../fakes/etcd-server.js';
import { storeContract } from './store.suite.js';

let server: EtcdServer;
beforeAll(async () => {
  server = await startEtcd();
});
afterAll(async () => {
  await server.stop();
});

storeContract('etcd', () => {
  const store = new EtcdStore({ endpoints: [server.url] });
  const other = new EtcdStore({ endpoints: [server.url] });
  return Promise.resolve({
    store,
    other,
    end: async () => {
      await store.close();
      await other.close();
    },
  });
});
