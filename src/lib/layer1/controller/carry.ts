// Carries the formation scheduler's plan to Sampi: fenced transactions that are repeated by id until their answer is known.
import { ownerOf } from '../../api/app.js';
import { FlynnError, isFlynnError } from '../../api/errors.js';
import { keys } from '../../api/keys.js';
import type { HostChange, TransactionAnswer, TransactionInput } from '../../api/sampi.js';
import type { Sampi } from '../../layer0/index.js';
import type { Leadership, Store } from '../../store/index.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../appliance/log.js';
import type { Rng } from '../../util/rng.js';
import { wrapKey } from '../../util/seal.js';
import { ulid } from '../../util/ulid.js';
import { jobTemplate, releaseKey, resourcesOf } from './releases.js';
import type { FormationPlan, NewJob, NewWant } from './schedulers/formations.js';
import type { Picture } from './state.js';
import { readNow } from './write.js';

/** What is needed to act as leader. */
export interface CarryPorts {
  picture: Picture;
  store: Pick<Store, 'txn'>;
  sampi: Pick<Sampi, 'transact' | 'putTemplate'>;
  clock: Clock;
  rng: Rng;
  log: Log;
  clusterKey: Buffer;
}

/** A transaction whose effect this copy's picture does not show yet. */
interface Open {
  request: TransactionInput;
  /** Absent: the answer was lost, the same request must be sent again. */
  answer?: TransactionAnswer;
  apps: ReadonlySet<string>;
  /** Monotonic ms after which the picture is believed whatever it shows. */
  until: number;
}

/** Changes of one host per transaction at most (Sampi takes 120). */
const maxPerHost = 100;
/** Hosts per transaction at most. */
const maxHosts = 64;
const settleMs = 10_000;

/** The hand of the scheduler for one term. */
export class Carrier {
  private open: Open[] = [];
  private readonly templates = new Map<string, string>();

  constructor(
    private readonly ports: CarryPorts,
    private readonly leadership: Pick<Leadership, 'key' | 'epoch'>,
  ) {}

  /** Apps with a transaction that is not settled: they are not planned, or jobs would be booked twice. */
  busy(): Set<string> {
    this.open = this.open.filter((item) => !this.isSettled(item));
    return new Set(this.open.flatMap(({ apps }) => [...apps]));
  }

  /** Sends again what was not answered. Throws `fenced`. */
  async resolve(): Promise<void> {
    for (const item of this.open) if (!item.answer) await this.send(item);
  }

  /** Carries a plan out as far as it goes; refusals are left to the next plan. Throws `fenced`. */
  async carry(plan: FormationPlan, appOf: (job: string) => string): Promise<void> {
    const confirmed = await this.confirm(plan.wants, appOf);
    await this.sendWants(confirmed, appOf);
    await this.sendClaims(plan.claims);
  }

  /**
   * Drops the stops of apps whose records have changed since the picture was taken: nothing is stopped on old news.
   * The records are read from the majority.
   */
  private async confirm(wants: readonly NewWant[], appOf: (job: string) => string): Promise<NewWant[]> {
    const { picture, store } = this.ports;
    const apps = [...new Set(wants.filter(({ want }) => want === 'stop').map(({ job }) => appOf(job)))];
    const stale = new Set<string>();
    for (let from = 0; from < apps.length; from += 50) {
      const part = apps.slice(from, from + 50);
      const now = await readNow(
        store,
        part.flatMap((app) => [keys.app(app), keys.formation(app)]),
      );
      for (const app of part) {
        const same =
          now.get(keys.app(app))?.modRevision ===
            picture.records.apps.get(keys.app(app))?.entry.modRevision &&
          now.get(keys.formation(app))?.modRevision ===
            picture.records.formations.get(keys.formation(app))?.entry.modRevision;
        if (!same) stale.add(app);
      }
    }
    return wants.filter(({ job, want }) => want !== 'stop' || !stale.has(appOf(job)));
  }

  private async sendWants(wants: readonly NewWant[], appOf: (job: string) => string): Promise<void> {
    const hosts = new Map<string, HostChange>();
    const apps = new Set<string>();
    for (const { job, host, want, why } of wants) {
      const change = hosts.get(host) ?? { claims: [], want: [] };
      if (change.want.length >= maxPerHost) continue;
      change.want.push({ job, want });
      hosts.set(host, change);
      apps.add(appOf(job));
      this.ports.log.info({ job, want, why }, 'intention changes');
    }
    await this.sendAll(hosts, apps);
  }

  private async sendClaims(claims: readonly NewJob[]): Promise<void> {
    const hosts = new Map<string, HostChange>();
    const apps = new Set<string>();
    const infos = this.ports.picture.hosts();
    for (const claim of claims) {
      const { group, host, id } = claim;
      const release = this.ports.picture.release(group.app, group.version);
      const info = infos.get(host)?.info;
      if (!release || !info) continue;
      const change = hosts.get(host) ?? { claims: [], want: [] };
      change.claims.push({
        job: id,
        template: await this.template(claim),
        owner: ownerOf(group.app, group.version, group.type),
        resources: resourcesOf(release.processes[group.type]),
        ports: group.need.ports,
        fixedPorts: [...group.need.fixed],
        wrappedKey: wrapKey(info.wrapKey, releaseKey(this.ports.clusterKey, release)),
      });
      hosts.set(host, change);
      apps.add(group.app);
    }
    await this.sendAll(hosts, apps);
  }

  private async template({ group: { app, version, type } }: NewJob): Promise<string> {
    const name = ownerOf(app, version, type);
    const known = this.templates.get(name);
    if (known !== undefined) return known;
    const release = this.ports.picture.release(app, version);
    if (!release)
      throw new FlynnError({ code: 'not_found', message: `release ${version} of ${app} is gone` });
    const { hash } = await this.ports.sampi.putTemplate(jobTemplate(release, type));
    this.templates.set(name, hash);
    return hash;
  }

  private async sendAll(hosts: ReadonlyMap<string, HostChange>, apps: ReadonlySet<string>): Promise<void> {
    const { clock, rng } = this.ports;
    const all = [...hosts];
    for (let from = 0; from < all.length; from += maxHosts) {
      const item: Open = {
        request: {
          id: ulid(clock.now(), rng),
          mode: 'incremental',
          guards: [{ key: this.leadership.key, createRevision: this.leadership.epoch }],
          hosts: Object.fromEntries(all.slice(from, from + maxHosts)),
        },
        apps,
        until: clock.mono() + settleMs,
      };
      this.open.push(item);
      await this.send(item);
    }
  }

  private async send(item: Open): Promise<void> {
    const { sampi, clock, log } = this.ports;
    let answer: TransactionAnswer;
    try {
      answer = await sampi.transact(item.request);
    } catch (error) {
      if (!isLost(error)) {
        this.open = this.open.filter((other) => other !== item);
        throw error;
      }
      log.warn(
        { transaction: item.request.id, error: String(error) },
        'no answer from sampi, it is asked again',
      );
      return;
    }
    if (answer.fenced) throw new FlynnError({ code: 'fenced', message: 'another controller leads now' });
    for (const [host, outcome] of Object.entries(answer.hosts)) {
      if (outcome.ok) continue;
      log.info({ host, rejection: outcome.rejection?.message }, 'host refused');
      // A template that is gone was deleted meanwhile: it is stored again with the next plan.
      if (outcome.rejection?.constraint === 'template') this.templates.clear();
    }
    item.answer = answer;
    item.until = clock.mono() + settleMs;
  }

  /** True when the picture shows what the transaction did. */
  private isSettled({ answer, until, request }: Open): boolean {
    if (!answer) return false;
    const { picture, clock } = this.ports;
    const { claims } = picture.records;
    if (claims.revision >= answer.revision || clock.mono() >= until) return true;
    return Object.entries(answer.hosts).every(([host, outcome]) => {
      if (!outcome.ok) return true;
      const wanted = Object.entries(outcome.claims);
      const named = new Set(wanted.map(([job]) => job));
      const gone = request.hosts[host]?.want?.every(
        ({ job }) => named.has(job) || !claims.get(keys.claim(host, job)),
      );
      return (
        gone !== false &&
        wanted.every(([job, claim]) => claims.get(keys.claim(host, job))?.value.w === claim.w)
      );
    });
  }
}

/** Failures after which nobody knows whether the transaction was carried out, or could not be asked at all. */
function isLost(error: unknown): boolean {
  return (['ambiguous', 'timeout', 'unreachable', 'no_quorum', 'interrupted'] as const).some((code) =>
    isFlynnError(error, code),
  );
}
