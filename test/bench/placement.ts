// Placements per second: four schedulers race through Sampi's function for the hosts of a simulated grid, over real etcd.
import { fork } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { keys } from '../../src/lib/api/keys.js';
import { place, Pool, seatOf } from '../../src/lib/layer0/placement/index.js';
import { newBook } from '../../src/lib/layer0/sampi/book.js';
import { putTemplate } from '../../src/lib/layer0/sampi/index.js';
import { EtcdStore } from '../../src/lib/store/etcd.js';
import { seededRng } from '../../src/lib/util/rng.js';
import { startEtcdCluster } from '../fakes/etcd-server.js';
import { median, result, root, rounded, say, time } from './bench.js';
import { serveSampi } from './placement/http.js';
import type { Job, Report } from './placement/plan.js';

const { values } = parseArgs({
  options: {
    hosts: { type: 'string', default: '10000' },
    claims: { type: 'string', default: '1000000' },
    schedulers: { type: 'string', default: '4' },
    /** Claims of the runs with three members and over HTTP. */
    others: { type: 'string', default: '100000' },
  },
});
const hosts = Number(values.hosts);
const claims = Number(values.claims);
const schedulers = Number(values.schedulers);
const others = Math.min(Number(values.others), claims);
/** What a job takes and what a host has: room for a tenth more than is asked for. */
const memory = 64;
const cpu = 10;
const capacity = (total: number) => {
  const jobs = Math.ceil((total / hosts) * 1.1) + 1;
  return { m: jobs * memory, c: jobs * cpu };
};
/** 60 hosts and 960 jobs per transaction: 16 claims per book write. */
const sample = 60;
const batch = 960;

interface Outcome {
  perS: number;
  conflictPct: number;
  rssMb: number;
  check: Check;
}
interface Check {
  claims: number;
  longest: number;
  overcommitted: number;
  wrongBooks: number;
  doubledPorts: number;
  strangers: number;
}

/** A scheduler's process, ready to begin. */
function scheduler(): Promise<(job: Job) => Promise<Report>> {
  const child = fork(join(root, 'test/bench/placement/worker.ts'), { execArgv: ['--import', 'tsx'] });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('message', () =>
      resolve(
        (job) =>
          new Promise((done, failed) => {
            child.once('message', (report) => done(report as Report));
            child.once('exit', (code) => code !== 0 && failed(new Error(`a scheduler ended with ${code}`)));
            child.send(job);
          }),
      ),
    );
  });
}

/** Fresh etcd of that many members with the books of empty hosts; books claims, recounts them, and takes all away. */
async function race(members: number, total: number, overHttp = false): Promise<Outcome> {
  const servers = await startEtcdCluster(members);
  const endpoints = servers.map(({ url }) => url);
  const store = new EtcdStore({ endpoints, timeoutMs: 10_000 });
  const sampi = overHttp ? await serveSampi(store) : undefined;
  try {
    for (let from = 0; from < hosts; from += 100) {
      const names = Array.from({ length: Math.min(100, hosts - from) }, (_, i) => `h${from + i}`);
      const value = JSON.stringify(newBook(capacity(total)));
      await store.txn({
        compare: [],
        then: names.map((name) => ({ op: 'put', key: keys.hostBook(name), value })),
      });
    }
    const { hash } = await putTemplate(store, { kind: 'service', image: 'bench:1' });
    const starts = await Promise.all(Array.from({ length: schedulers }, scheduler));
    const began = performance.now();
    const reports = await Promise.all(
      starts.map((start, i) => {
        const share = Math.floor(total / schedulers) + (i < total % schedulers ? 1 : 0);
        const job: Job = {
          endpoints,
          seed: i + 1,
          hosts,
          claims: share,
          sample,
          batch,
          template: hash,
          memory,
          cpu,
        };
        return start({ ...job, ...(sampi ? { http: sampi } : {}) });
      }),
    );
    const ms = performance.now() - began;
    const sum = (of: (report: Report) => number) => reports.reduce((all, one) => all + of(one), 0);
    const checked = await time(process.execPath, [
      ...['--import', 'tsx', join(root, 'test/bench/placement/check.ts')],
      ...endpoints,
    ]);
    const check = JSON.parse(checked.stdout) as Check;
    say(
      `${members} of etcd${overHttp ? ', over HTTP' : ''}: ${sum((r) => r.placed)} claims in ${rounded(ms / 1000)} s`,
    );
    say(`  recounted: ${checked.stdout}`);
    if (check.claims !== sum(({ placed }) => placed)) throw new Error('what was booked is not what is there');
    if (check.wrongBooks + check.doubledPorts + check.strangers > 0)
      throw new Error('books and claims differ');
    return {
      perS: sum(({ placed }) => placed) / (ms / 1000),
      conflictPct:
        (sum(({ conflicts }) => conflicts) /
          Math.max(
            1,
            sum(({ attempts }) => attempts),
          )) *
        100,
      rssMb: Math.max(...reports.map(({ rssMb }) => rssMb)),
      check,
    };
  } finally {
    await sampi?.close();
    await store.close();
    for (const server of servers) await server.stop();
  }
}

/** Microseconds of one decision among that many hosts: median of five rounds of 2,000, once warm. */
function decision(count: number): number {
  const rng = seededRng(1);
  const rounds = Array.from({ length: 6 }, () => {
    const pool = new Pool(
      Array.from({ length: count }, (_, i) => seatOf(`h${i}`, newBook({ m: 64_000, c: 64_000 }))),
    );
    const began = performance.now();
    for (let i = 0; i < 2000; i++)
      place(pool, { exact: `a${i % 50}`, loose: 'a' }, { m: 64, c: 10, ports: 1, fixed: [] }, rng);
    return ((performance.now() - began) * 1000) / 2000;
  });
  return median(rounds.slice(1));
}

// Warm for all sizes alike.
for (const count of [100, 1000, 10_000]) decision(count);
const one = await race(1, claims);
const three = await race(3, others);
const http = await race(1, others, true);
result('placement', {
  per_s: rounded(one.perS, 0),
  overcommitted: one.check.overcommitted + three.check.overcommitted + http.check.overcommitted,
  conflict_pct: rounded(one.conflictPct),
  rss_mb: rounded(Math.max(one.rssMb, three.rssMb, http.rssMb), 0),
  claim_bytes: one.check.longest,
  per_s_3: rounded(three.perS, 0),
  per_s_http: rounded(http.perS, 0),
  us_100: rounded(decision(100), 1),
  us_1000: rounded(decision(1000), 1),
  us_10000: rounded(decision(10_000), 1),
});
