// Why a job is where it is: the picture's facts, put to placement's explanation.
import type { Hono } from 'hono';
import { parseOwner } from '../../../api/app.js';
import { FlynnError } from '../../../api/errors.js';
import type { Claim, JobStatus } from '../../../api/job.js';
import { keys } from '../../../api/keys.js';
import { AppName, hostOfJob, JobId } from '../../../api/names.js';
import { WhyQuery, type Why } from '../../../api/why.js';
import { countOn, why, type Need, type Seat, type SpreadKeys, type WhyFacts } from '../../../layer0/index.js';
import { knownApp, type ApiContext } from '../context.js';
import { groupsOf, jobContext, seatsOf } from '../desired.js';
import { jobLines } from '../jobs.js';
import { needOf } from '../releases.js';
import { spreadKeys, type Group } from '../schedulers/formations.js';
import { personOf, requireApp, requireRole, type Person } from '../../shared/person.js';

const maxHosts = 100;

/** Adds the route. */
export function whyRoutes(api: Hono, context: ApiContext): void {
  api.get('/v1/why', async (c) => {
    const query = WhyQuery.parse(c.req.query());
    const app = query.app === undefined ? undefined : AppName.parse(query.app);
    const person = personOf(c);
    if (app !== undefined) {
      requireApp(person, app, 'read');
      await context.fresh.app(app);
      knownApp(context, app);
    }
    return c.json(answer(context, person, query.job, app));
  });
}

function answer(context: ApiContext, person: Person, job: string, app: string | undefined): Why {
  const id = JobId.safeParse(job).success ? job : app && lineId(context, app, job);
  const facts = id ? factsOfJob(context, person, id, job) : app && factsOfType(context, app, job);
  if (!facts) {
    throw new FlynnError({
      code: 'not_found',
      message:
        app === undefined ? `there is no job ${job}` : `app ${app} has no job and no process type ${job}`,
      hint: app === undefined ? 'flynn why web.1 -a APP' : `flynn ps -a ${app}`,
    });
  }
  const { sentences, hosts } = why(facts);
  return { job: id || job, sentences, hosts: hosts.slice(0, maxHosts) };
}

function lineId({ picture, hosts }: ApiContext, app: string, name: string): string | undefined {
  const lines = jobLines(picture.jobs(app), jobContext(picture, hosts, app));
  return lines.find((line) => line.name === name)?.id;
}

function factsOfJob(context: ApiContext, person: Person, id: string, called: string): WhyFacts | undefined {
  const { picture, hosts } = context;
  const host = hostOfJob(id);
  const claim = picture.records.claims.get(keys.claim(host, id))?.value;
  const status = picture.records.statuses.get(keys.status(host, id))?.value;
  const owner = claim?.o ?? status?.owner;
  if (owner === undefined) return undefined;
  const of = parseOwner(owner);
  if (of) requireApp(person, of.app, 'read');
  else requireRole(person, `asking about ${owner}`, 'admin');
  const condition = hosts.condition(host);
  return {
    ...common(context),
    name: of ? `${called === id ? `${of.type} job ${id}` : called} of ${of.app}` : `${owner} (${id})`,
    ...groupFacts(context, owner, claim),
    job: {
      host,
      ...(claim ? { claim } : {}),
      ...(status ? { status } : {}),
      ...(condition === 'present' ? {} : { condition: condition ?? 'not part of the grid' }),
    },
    missing: 0,
  };
}

function factsOfType(context: ApiContext, app: string, name: string): WhyFacts | undefined {
  const type = name.replace(/\.\d+$/, '');
  const { picture, hosts } = context;
  const all = groupsOf(picture, knownApp(context, app), jobContext(picture, hosts, app), () => []) ?? [];
  const groups = all.filter((group) => group.type === type);
  const [group] = groups.sort((a, b) => missingOf(b) - missingOf(a) || b.version - a.version);
  if (!group) return undefined;
  const booked = bookedOf(group);
  const facts: WhyFacts = {
    ...common(context),
    name: `${type} of ${app}`,
    keys: spreadKeys(group),
    need: group.need,
    missing: missingOf(group),
  };
  count(facts.seats, facts.keys, booked);
  if (facts.missing > 0) return facts;
  // All that is wanted is booked: the job of that type that serves least says most.
  const lines = jobLines(picture.jobs(app), jobContext(picture, hosts, app)).filter(
    (line) => line.type === type,
  );
  const line = lines.find(({ state }) => state !== 'serving') ?? lines[0];
  const status = line && picture.records.statuses.get(keys.status(line.host, line.id))?.value;
  const claim = line && picture.records.claims.get(keys.claim(line.host, line.id))?.value;
  if (!line) return facts;
  return { ...facts, name: `${line.name} of ${app}`, job: jobFacts(line.host, claim, status) };
}

function jobFacts(host: string, claim: Claim | undefined, status: JobStatus | undefined): WhyFacts['job'] {
  return { host, ...(claim ? { claim } : {}), ...(status ? { status } : {}) };
}

function bookedOf({ jobs }: Group): string[] {
  return jobs.filter(({ want, failed }) => want === 'run' && !failed).map(({ host }) => host);
}

function missingOf(group: Group): number {
  return Math.max(0, group.desired - bookedOf(group).length);
}

function common(context: ApiContext): { now: number; seats: Seat[]; frozen?: string } {
  const { picture, hosts, clock } = context;
  const missing = [...hosts.missing()].sort().join(', ');
  return {
    now: clock.now(),
    seats: seatsOf(picture, hosts),
    ...(hosts.frozen ? { frozen: `more than half of the hosts went missing at once (${missing})` } : {}),
  };
}

/** What a job needs and is spread by, with the jobs of its group counted on the seats. */
function groupFacts(
  context: ApiContext,
  owner: string,
  claim: Claim | undefined,
): { keys: SpreadKeys; need: Need; seats: Seat[] } {
  const { picture, hosts } = context;
  const seats = seatsOf(picture, hosts);
  const of = parseOwner(owner);
  const release = of && picture.release(of.app, of.version);
  const own: Need = { m: claim?.m ?? 0, c: claim?.c ?? 0, ports: claim?.p.length ?? 0, fixed: [] };
  if (!of) return { keys: { exact: owner, loose: owner }, need: own, seats };
  const spread = spreadKeys(of);
  const jobs = picture
    .jobs(of.app)
    .filter((job) => job.type === of.type && job.claim && job.claim.w !== 'stop');
  for (const job of jobs) count(seats, spreadKeys(job), [job.host]);
  return { keys: spread, need: release ? needOf(release, of.type) : own, seats };
}

function count(seats: readonly Seat[], spread: SpreadKeys, hosts: readonly string[]): void {
  for (const host of hosts) {
    const seat = seats.find(({ name }) => name === host);
    if (seat) countOn(seat, spread);
  }
}
