// The placement bench's checker, a process of its own: recounts every claim from etcd and holds it against the books.
import { HostBook, bookable } from '../../../src/lib/api/grid.js';
import { Claim } from '../../../src/lib/api/job.js';
import { keys, partsAfter } from '../../../src/lib/api/keys.js';
import { EtcdStore } from '../../../src/lib/store/etcd.js';

interface Sum {
  m: number;
  c: number;
  jobs: number;
  ports: Set<number>;
  doubled: number;
}

const store = new EtcdStore({ endpoints: process.argv.slice(2), timeoutMs: 10_000 });
const sums = new Map<string, Sum>();
let claims = 0;
let longest = 0;
let after: string | undefined;
let revision: number | undefined;
for (;;) {
  const part = await store.list(keys.claims, {
    limit: 1000,
    ...(after === undefined ? {} : { after, revision }),
  });
  ({ revision } = part);
  for (const { key, value } of part.entries) {
    const [host = ''] = partsAfter(keys.claims, key);
    const claim = Claim.parse(JSON.parse(value));
    const sum = sums.get(host) ?? { m: 0, c: 0, jobs: 0, ports: new Set(), doubled: 0 };
    sum.m += claim.m;
    sum.c += claim.c;
    sum.jobs += 1;
    for (const port of claim.p) {
      if (sum.ports.has(port)) sum.doubled += 1;
      sum.ports.add(port);
    }
    sums.set(host, sum);
    claims += 1;
    longest = Math.max(longest, Buffer.byteLength(value));
  }
  if (part.entries.length < 1000) break;
  after = part.entries.at(-1)?.key;
}
let overcommitted = 0;
let wrongBooks = 0;
let doubledPorts = 0;
const books = await store.list(keys.hosts, { ...(revision === undefined ? {} : { revision }) });
for (const { key, value } of books.entries) {
  const [host = '', kind] = partsAfter(keys.hosts, key);
  if (kind !== 'book') continue;
  const book = HostBook.parse(JSON.parse(value));
  const sum = sums.get(host) ?? { m: 0, c: 0, jobs: 0, ports: new Set<number>(), doubled: 0 };
  const limit = bookable(book);
  if (sum.m > limit.m || sum.c > limit.c) overcommitted += 1;
  doubledPorts += sum.doubled;
  const ports = [...sum.ports].sort((a, b) => a - b).join();
  if (sum.m !== book.used.m || sum.c !== book.used.c || sum.jobs !== book.jobs || ports !== book.ports.join())
    wrongBooks += 1;
  sums.delete(host);
}
process.stdout.write(
  JSON.stringify({ claims, longest, overcommitted, wrongBooks, doubledPorts, strangers: sums.size }),
);
await store.close();
