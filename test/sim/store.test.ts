// The simulated store keeps the contract that real etcd is held to, on three members, and its faults do what they say.
import { storeContract } from '../contract/store.suite.js';
import { systemClock } from '../../src/lib/util/clock.js';
import { seededRng } from '../../src/lib/util/rng.js';
import { Net, type Node } from './net.js';
import { SimEtcd } from './store.js';
import { SimStore } from './store-client.js';

const node = (name: string): Node => ({ name, up: true, frozen: false, wallOffset: 0, held: [] });

storeContract('simulated', () => {
  const time = {
    get now() {
      return systemClock.mono();
    },
    at: (ms: number, fn: () => void) => systemClock.after(ms, fn),
  };
  const rng = seededRng(1);
  const net = new Net(time, rng);
  const members = ['a', 'b', 'c'].map((name, i) => ({ id: String(i + 1), alive: true, machine: node(name) }));
  const etcd = new SimEtcd(time, net, rng, members);
  const client = (name: string) => new SimStore(etcd, { alive: true, machine: node(name) }, name);
  const [store, other] = [client('x'), client('y')];
  return Promise.resolve({
    store,
    other,
    end: async () => {
      await store.close();
      await other.close();
    },
  });
});
