// One scheduler of the placement bench: a process of its own that books jobs on random samples of hosts until its share is booked.
import { ports as fixed } from '../../../src/lib/api/grid.js';
import type { HostBook } from '../../../src/lib/api/grid.js';
import type { ClaimRequestInput, TransactionAnswer, TransactionInput } from '../../../src/lib/api/sampi.js';
import { ApplianceClients } from '../../../src/lib/appliance/client.js';
import { countOn, place, Pool, seatOf } from '../../../src/lib/layer0/placement/index.js';
import { BookCache, readBooks } from '../../../src/lib/layer0/sampi/load.js';
import { SampiClient, transact } from '../../../src/lib/layer0/sampi/index.js';
import { EtcdStore } from '../../../src/lib/store/etcd.js';
import type { Store, Txn } from '../../../src/lib/store/port.js';
import { systemClock } from '../../../src/lib/util/clock.js';
import { cryptoRng, randomInt, seededRng } from '../../../src/lib/util/rng.js';
import { ulid } from '../../../src/lib/util/ulid.js';
import type { Job, Report } from './plan.js';

const MiB = 1024 * 1024;

process.once('message', (job: Job) => {
  run(job).then(
    (report) => process.send?.(report, () => process.disconnect()),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exitCode = 1;
      process.disconnect();
    },
  );
});
process.send?.('ready');

async function run(job: Job): Promise<Report> {
  const store = new EtcdStore({ endpoints: job.endpoints, timeoutMs: 10_000 });
  const counted = counting(store);
  const books = new BookCache();
  const rng = seededRng(job.seed);
  const clients = job.http && new ApplianceClients(job.http.identity);
  const sampi =
    clients && new SampiClient(clients, () => ['127.0.0.1'], 20_000, job.http?.port ?? fixed.sampi);
  const commit = (request: TransactionInput): Promise<TransactionAnswer> =>
    sampi
      ? sampi.transact(request)
      : transact(counted.store, request, { clock: systemClock, rng: cryptoRng, books });
  let placed = 0;
  let refused = 0;
  for (let batch = 0; placed < job.claims; batch++) {
    const owner = `app/bench-${job.seed}-${batch % 100}/1/web`;
    const sample = new Set<string>();
    while (sample.size < Math.min(job.sample, job.hosts)) sample.add(`h${randomInt(rng, job.hosts)}`);
    const now = await readBooks(store, [...sample], books);
    const request = decide(job, owner, now, Math.min(job.batch, job.claims - placed), rng);
    const answer = await commit(request);
    for (const { ok, claims } of Object.values(answer.hosts)) {
      if (ok) placed += Object.keys(claims).length;
      else refused += 1;
    }
  }
  clients?.close();
  await store.close();
  return { placed, refused, ...counted.counts, rssMb: process.memoryUsage.rss() / 1e6 };
}

/** Puts a batch of jobs on the hosts of a sample, each job a decision of its own. */
function decide(
  job: Job,
  owner: string,
  books: ReadonlyMap<string, HostBook>,
  count: number,
  rng: ReturnType<typeof seededRng>,
): TransactionInput {
  const pool = new Pool([...books].map(([name, book]) => seatOf(name, book)));
  const keys = { exact: owner, loose: 'bench' };
  for (const seat of pool.seats) countOn(seat, { exact: '', loose: '' }, 0);
  const hosts: Record<string, { claims: ClaimRequestInput[] }> = {};
  const wall = Date.now();
  for (let i = 0; i < count; i++) {
    const placement = place(pool, keys, { m: job.memory, c: job.cpu, ports: 1, fixed: [] }, rng);
    if (!('host' in placement)) break;
    const { host } = placement;
    (hosts[host] ??= { claims: [] }).claims.push({
      job: `${host}-${ulid(wall, cryptoRng)}`,
      template: job.template,
      owner,
      resources: { memory: job.memory * MiB, cpu: job.cpu },
      ports: 1,
    });
  }
  return { id: ulid(wall, cryptoRng), hosts };
}

/** A store that counts the children of transactions that write, and those that lost. */
function counting(store: Store): { store: Store; counts: { attempts: number; conflicts: number } } {
  const counts = { attempts: 0, conflicts: 0 };
  const txn: Store['txn'] = async (request: Txn, opts) => {
    const result = await store.txn(request, opts);
    for (const [index, op] of request.then.entries()) {
      if (op.op !== 'txn' || op.txn.compare.length === 0) continue;
      const child = result.results[index];
      counts.attempts += 1;
      if (child?.op === 'txn' && !child.result.succeeded) counts.conflicts += 1;
    }
    return result;
  };
  return { counts, store: Object.assign(Object.create(store) as Store, { txn, get: store.get.bind(store) }) };
}
