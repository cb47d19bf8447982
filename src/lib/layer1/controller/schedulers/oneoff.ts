// The one-off scheduler: places one job by the placement policy and one transaction. Any copy may: it needs no leader.
import type { JobTemplateInput } from '../../../api/job.js';
import { JobTemplate } from '../../../api/job.js';
import { FlynnError, isFlynnError } from '../../../api/errors.js';
import { keys } from '../../../api/keys.js';
import type { HostOutcome, TransactionInput } from '../../../api/sampi.js';
import {
  countOn,
  explain,
  place,
  Pool,
  type Need,
  type Placement,
  type Sampi,
  type Seat,
} from '../../../layer0/index.js';
import type { Store } from '../../../store/index.js';
import type { Clock } from '../../../util/clock.js';
import type { Log } from '../../../util/log.js';
import { retry } from '../../../util/retry.js';
import type { Rng } from '../../../util/rng.js';
import { newKey, seal, wrapKey } from '../../../util/seal.js';
import { ulid } from '../../../util/ulid.js';
import { seatsOf } from '../desired.js';
import type { HostWatch } from '../hostwatch.js';
import { appVariables, type Env } from '../releases.js';
import type { Picture } from '../state.js';

const MiB = 1024 * 1024;

/** What one-off jobs are for. */
export type OneOffKind = 'build' | 'run';

/** A job that runs once and is never restarted. */
export interface OneOff {
  app: string;
  kind: OneOffKind;
  /** Release that a run belongs to. */
  version?: number;
  template: Omit<JobTemplateInput, 'kind' | 'sealedEnv'>;
  /** Its environment, sealed for this job alone. */
  env?: Env;
}

/** A one-off job that is booked. */
export interface PlacedJob {
  job: string;
  host: string;
  /** Address of the host's agent. */
  address: string;
  /** Hash of its template, which no other job has. */
  template: string;
}

/** What placing needs. */
export interface OneOffPorts {
  picture: Picture;
  hosts: HostWatch;
  sampi: Pick<Sampi, 'transact' | 'putTemplate'>;
  store: Pick<Store, 'txn'>;
  clock: Clock;
  rng: Rng;
  log: Log;
}

/** How long a transaction is repeated by its id while its answer is lost, ms. */
const resolveMs = { place: 15_000, end: 60_000 } as const;

/** Owner of a one-off's claim: `build/hello`, `run/hello/3`. Never one that a formation counts. */
export function oneOffOwner({ kind, app, version }: Pick<OneOff, 'kind' | 'app' | 'version'>): string {
  return version === undefined ? `${kind}/${app}` : `${kind}/${app}/${version}`;
}

/** The inverse; undefined for claims of other schedulers. */
export function parseOneOff(owner: string): { kind: OneOffKind; app: string } | undefined {
  const [kind, app] = owner.split('/');
  return (kind === 'build' || kind === 'run') && app ? { kind, app } : undefined;
}

/** Chooses a host: fewest one-offs of its kind, then fewest of any, then most free memory. `refused` said no. */
export function chooseHost(
  seats: readonly Seat[],
  booked: readonly { host: string; kind: OneOffKind }[],
  wanted: { kind: OneOffKind; need: Need },
  refused: ReadonlyMap<string, string>,
  rng: Rng,
): Placement {
  const spread = (kind: OneOffKind) => ({ exact: `oneoff/${kind}`, loose: 'oneoff' });
  for (const seat of seats) {
    const why = refused.get(seat.name);
    if (why !== undefined) seat.closed ??= why;
    for (const job of booked) if (job.host === seat.name) countOn(seat, spread(job.kind));
  }
  return place(new Pool(seats), spread(wanted.kind), wanted.need, rng);
}

/** Failures after which nobody knows whether a transaction was carried out, or could not be asked at all. */
export function isLost(error: unknown): boolean {
  return (['ambiguous', 'timeout', 'unreachable', 'no_quorum'] as const).some((code) =>
    isFlynnError(error, code),
  );
}

/**
 * Books a one-off job. Its ids are made before the call, so that a lost answer is resolved by asking again.
 * Throws `no_capacity` with what every host lacks, and what Sampi throws.
 */
export async function placeOneOff(ports: OneOffPorts, wanted: OneOff): Promise<PlacedJob> {
  const { picture, sampi, clock, rng, log } = ports;
  const { template, sealingKey } = templateOf(wanted, ulid(clock.now(), rng));
  const { resources } = JobTemplate.parse(template);
  const need: Need = {
    m: Math.ceil(resources.memory / MiB),
    c: resources.cpu,
    ports: 0,
    fixed: [],
    image: template.image,
  };
  const { hash } = await sampi.putTemplate(template);
  const refused = new Map<string, string>();
  // Every round leaves out one host more.
  for (;;) {
    const seats = seatsOf(picture, ports.hosts);
    const choice = chooseHost(seats, bookedOneOffs(picture), { kind: wanted.kind, need }, refused, rng);
    if ('excluded' in choice) {
      await dropTemplate(ports, hash);
      throw new FlynnError({
        code: 'no_capacity',
        message: explain(wanted.app, wanted.kind, need, choice.excluded),
        hint: 'flynn cluster status   (shows what is free; scale something down, or add a host)',
      });
    }
    const { host } = choice;
    const info = picture.hosts().get(host)?.info;
    if (!info) {
      refused.set(host, 'is gone');
      continue;
    }
    const job = `${host}-${ulid(clock.now(), rng)}`;
    const wrappedKey = sealingKey && wrapKey(info.wrapKey, sealingKey);
    const outcome = await transactHost(ports, host, resolveMs.place, {
      claims: [
        { job, template: hash, owner: oneOffOwner(wanted), resources, ...(wrappedKey ? { wrappedKey } : {}) },
      ],
    });
    if (outcome?.ok) {
      log.info({ job, owner: oneOffOwner(wanted) }, 'one-off placed');
      return { job, host, address: info.address, template: hash };
    }
    log.info({ host, rejection: outcome?.rejection?.message }, 'host refused a one-off');
    refused.set(host, `refused: ${outcome?.rejection?.message ?? 'no answer'}`);
  }
}

/** Has a one-off stopped and its claim given back; a job that is gone already is what this wanted. Throws what Sampi throws. */
export async function endOneOff(ports: OneOffPorts, { job, host, template }: PlacedJob): Promise<void> {
  const outcome = await transactHost(ports, host, resolveMs.end, { want: [{ job, want: 'stop' }] });
  if (!outcome?.ok) {
    ports.log.warn(
      { job, rejection: outcome?.rejection?.message },
      'a one-off could not be stopped: the leader clears it away',
    );
    return;
  }
  await dropTemplate(ports, template);
}

type HostRequest = NonNullable<TransactionInput['hosts'][string]>;

async function transactHost(
  { sampi, clock, rng }: OneOffPorts,
  host: string,
  deadlineMs: number,
  change: HostRequest,
): Promise<HostOutcome | undefined> {
  const id = ulid(clock.now(), rng);
  const answer = await retry(() => sampi.transact({ id, mode: 'incremental', hosts: { [host]: change } }), {
    clock,
    rng,
    deadlineMs,
    retryable: isLost,
  });
  return answer.hosts[host];
}

function templateOf(
  { app, kind, version, template, env }: OneOff,
  id: string,
): { template: JobTemplateInput; sealingKey?: Buffer } {
  const meta = {
    ...template.meta,
    app,
    type: kind,
    oneoff: id,
    ...(version === undefined ? {} : { release: String(version) }),
  };
  const own: JobTemplateInput = {
    ...template,
    kind: 'oneoff',
    env: { ...template.env, ...appVariables(meta) },
    meta,
  };
  if (!env || Object.keys(env).length === 0) return { template: own };
  // A key of its own: what is added to the environment for one run must not be readable with the release's key.
  const sealingKey = newKey();
  const keyId = `oneoff/${id}`;
  return {
    template: { ...own, sealedEnv: { keyId, data: seal(sealingKey, JSON.stringify(env), keyId) } },
    sealingKey,
  };
}

function bookedOneOffs(picture: Picture): { host: string; kind: OneOffKind }[] {
  const booked: { host: string; kind: OneOffKind }[] = [];
  for (const [key, { value }] of picture.records.claims.items()) {
    const oneOff = value.w === 'run' ? parseOneOff(value.o) : undefined;
    if (oneOff) booked.push({ host: key.split('/')[1] ?? '', kind: oneOff.kind });
  }
  return booked;
}

/** The template belongs to this job alone; one that stays behind after a failure costs a few hundred bytes. */
async function dropTemplate({ store, log }: OneOffPorts, hash: string): Promise<void> {
  try {
    await store.txn({ compare: [], then: [{ op: 'delete', key: keys.template(hash) }] });
  } catch (error) {
    log.debug({ template: hash, err: error }, 'a template was left behind');
  }
}
