// A scheduler for one job, on Layer 0's public API alone: the placement policy over Sampi's view, then one transaction.
import { FlynnError } from '../../api/errors.js';
import { JobTemplate, type JobTemplateInput } from '../../api/job.js';
import type { GridView } from '../../api/sampi.js';
import { explain, needWords } from '../../layer0/placement/explain.js';
import { countOn, place, Pool, seatOf, type Need, type Seat } from '../../layer0/placement/index.js';
import { newKey, seal, wrapKey } from '../../util/seal.js';
import { ulid } from '../../util/ulid.js';
import type { GridClient, ListedClaim } from '../door/grid.js';
import { noSuchHost } from '../hosts/rows.js';
import type { WantedJob } from './spec.js';
import { commit, type ClaimPorts } from './stop.js';

const MiB = 1024 * 1024;

/** What placing needs. */
export interface PlacePorts extends ClaimPorts {
  grid: ClaimPorts['grid'] & Pick<GridClient, 'view' | 'claims' | 'putTemplate' | 'volumes'>;
}

/** A job that is booked. */
export interface PlacedJob {
  id: string;
  host: string;
}

/** Rounds of choosing again after a host had changed meanwhile. */
const maxRounds = 5;

/**
 * Books a job on the host that fits best, or on `host`. Throws `no_capacity` with what every host lacks, `not_found`
 * for a host that is none, and what Sampi throws.
 */
export async function placeJob(
  ports: PlacePorts,
  wanted: WantedJob,
  host: string | undefined,
  signal: AbortSignal,
): Promise<PlacedJob> {
  const { grid, clock, rng } = ports;
  const { template, key } = sealed(wanted, ulid(clock.now(), rng));
  const need = needOf(JobTemplate.parse(template));
  const view = await grid.view({ signal });
  if (host !== undefined && !view.hosts[host]) throw noSuchHost(host, Object.keys(view.hosts).sort());
  const [claims, volumes] = await Promise.all([
    grid.claims({ owner: wanted.owner }, { signal }),
    (need.volumes ?? []).length === 0 ? new Map<string, Set<string>>() : volumesByHost(grid, view, signal),
  ]);
  const refused = new Map<string, string>();
  const { hash } = await grid.putTemplate(template, { signal });
  for (let round = 1; ; round++) {
    const seats = seatsOf(round === 1 ? view : await grid.view({ signal }), {
      host,
      claims,
      volumes,
      refused,
      owner: wanted.owner,
    });
    const choice = place(new Pool(seats), { exact: wanted.owner, loose: wanted.owner }, need, rng);
    if ('excluded' in choice || round > maxRounds) {
      const excluded = 'excluded' in choice ? choice.excluded : [];
      throw noPlace(wanted, need, host, excluded);
    }
    const info = view.hosts[choice.host]?.info;
    const id = `${choice.host}-${ulid(clock.now(), rng)}`;
    const { resources, ports: all } = JobTemplate.parse(template);
    const claim = {
      job: id,
      template: hash,
      owner: wanted.owner,
      resources,
      fixedPorts: [...need.fixed],
      ports: all.length - need.fixed.length,
      ...(key && info ? { wrappedKey: wrapKey(info.wrapKey, key) } : {}),
    };
    const outcome = (await commit(ports, { [choice.host]: { claims: [claim] } }, signal))[choice.host];
    if (outcome?.ok) return { id, host: choice.host };
    refused.set(choice.host, `refused: ${outcome?.rejection?.message ?? 'no answer'}`);
  }
}

/** The environment goes under a key of the job's own, which only its host can unwrap. */
function sealed({ template, env }: WantedJob, id: string): { template: JobTemplateInput; key?: Buffer } {
  if (Object.keys(env).length === 0) return { template };
  const key = newKey();
  const keyId = `job/${id}`;
  return {
    template: { ...template, sealedEnv: { keyId, data: seal(key, JSON.stringify(env), keyId) } },
    key,
  };
}

/** What the job needs of its host. */
function needOf({ resources, ports, mounts, constraints, image, network }: JobTemplate): Need {
  const fixed = ports.flatMap((port) => port.fixed ?? (network === 'host' ? port.container : []));
  const volumes = mounts.filter(({ type }) => type === 'volume').map(({ source }) => source);
  return {
    m: Math.ceil(resources.memory / MiB),
    c: resources.cpu,
    ports: ports.length - fixed.length,
    fixed,
    image,
    ...(constraints ? { constraints } : {}),
    ...(volumes.length > 0 ? { volumes } : {}),
  };
}

interface SeatsInput {
  host: string | undefined;
  claims: readonly ListedClaim[];
  volumes: ReadonlyMap<string, ReadonlySet<string>>;
  refused: ReadonlyMap<string, string>;
  owner: string;
}

/** The hosts with what is booked on them, those that were not asked for shut. Pure. */
function seatsOf(view: GridView, { host, claims, volumes, refused, owner }: SeatsInput): Seat[] {
  return Object.entries(view.hosts).map(([name, { book, alive }]) => {
    const other = host !== undefined && host !== name ? 'was not asked for' : undefined;
    const seat = seatOf(name, book, other ?? refused.get(name) ?? (alive ? undefined : 'is away'));
    const mine = claims.filter((claim) => claim.host === name).length;
    countOn(seat, { exact: owner, loose: owner }, mine);
    const there = volumes.get(name);
    return there ? { ...seat, volumes: there } : seat;
  });
}

async function volumesByHost(
  grid: Pick<GridClient, 'volumes'>,
  view: GridView,
  signal: AbortSignal,
): Promise<Map<string, Set<string>>> {
  const { volumes } = await grid.volumes(Object.keys(view.hosts), { signal });
  const byHost = new Map<string, Set<string>>();
  for (const { host, name } of volumes) byHost.set(host, (byHost.get(host) ?? new Set()).add(name));
  return byHost;
}

function noPlace(
  { owner }: WantedJob,
  need: Need,
  host: string | undefined,
  excluded: Parameters<typeof explain>[3],
): FlynnError {
  const [kind = '', name = ''] = owner.split('/');
  const asked = excluded.find((one) => one.host === host);
  return new FlynnError({
    code: 'no_capacity',
    message: asked
      ? `no capacity: ${name} needs ${needWords(need)}; ${asked.host} ${asked.why}`
      : explain(kind, name, need, excluded),
    hint: 'flynn hosts   (shows what is free and which tags there are)',
  });
}
