// An app's log: the logs of its jobs, merged. A host that does not answer costs its own lines, never the others'.
import { z } from 'zod';
import type { LogLine } from '../../api/app.js';
import { isFlynnError } from '../../api/errors.js';
import { ports } from '../../api/grid.js';
import type { ApplianceClients } from '../../appliance/client.js';
import type { Clock } from '../../util/clock.js';
import type { Rng } from '../../util/rng.js';
import { backoff } from '../../util/retry.js';
import { Wakeup } from './wakeup.js';
import type { LineSink } from './ndjson.js';
import type { JobRecord, Picture } from './state.js';

/** A line as an agent gives it. `ts`: RFC 3339. */
export const AgentLine = z.object({ stream: z.enum(['stdout', 'stderr']), line: z.string(), ts: z.string() });
export type AgentLine = z.infer<typeof AgentLine>;

/** How to read one job's log. */
export interface JobLogOptions {
  lines: number;
  follow: boolean;
  /** RFC 3339: only lines from then on. */
  since?: string;
  signal: AbortSignal;
}

/** Where logs of single jobs come from. */
export type JobLogs = (
  job: Pick<JobRecord, 'id' | 'host'>,
  options: JobLogOptions,
) => AsyncIterable<AgentLine>;

/** Logs from the agents' API. Throws `unreachable`, `timeout`, `not_found` as the call does. */
export function agentLogs(
  clients: ApplianceClients,
  addressOf: (host: string) => string | undefined,
): JobLogs {
  return async function* (job, { lines, follow, since, signal }) {
    const address = addressOf(job.host);
    if (address === undefined) return;
    const query = new URLSearchParams({
      lines: String(lines),
      follow: follow ? '1' : '0',
      ...(since ? { since } : {}),
    });
    const path = `/v1/jobs/${job.id}/logs?${query.toString()}`;
    const options = { signal, timeoutMs: follow ? 0 : unaryMs };
    yield* clients.at(address, ports.agent).stream('GET', path, AgentLine, options);
  };
}

/** Lines of a whole answer at most; time for one job's past; jobs asked at a time; jobs followed at a time. */
const limits = { lines: 10_000, parallel: 8, followed: 500 } as const;
const unaryMs = 5_000;
/** Pauses after which a lost log is taken up again, ms. */
const retryMs = { base: 500, max: 10_000 } as const;

/** What an app's log is made from. */
export interface AppLogPorts {
  picture: Picture;
  jobLogs: JobLogs;
  clock: Clock;
  rng: Rng;
}

/** What is asked for. */
export interface AppLogRequest {
  app: string;
  lines: number;
  follow: boolean;
  type?: string;
}

/** Writes the last lines of an app's jobs in order of time, then, when following, each line as it comes. */
export async function writeAppLog(ports: AppLogPorts, request: AppLogRequest, sink: LineSink): Promise<void> {
  const names = namesOf(ports.picture, request);
  const past = await pastLines(ports, request, names, sink.signal);
  for (const line of past.lines) await sink.write(line);
  for (const notice of past.notices) await sink.write(notice);
  if (request.follow) await followAll(ports, request, past.lastOf, sink);
}

interface Past {
  lines: LogLine[];
  notices: LogLine[];
  /** Time of the last line of each job that was read. */
  lastOf: Map<string, string>;
}

async function pastLines(
  { picture, jobLogs, clock }: AppLogPorts,
  request: AppLogRequest,
  names: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<Past> {
  const lines = Math.min(Math.max(0, request.lines), limits.lines);
  const past: Past = { lines: [], notices: [], lastOf: new Map() };
  const waiting = jobsOf(picture, request);
  const deadHosts = new Set<string>();
  const worker = async (): Promise<void> => {
    for (let job = waiting.shift(); job && !signal.aborted; job = waiting.shift()) {
      const name = names.get(job.id) ?? job.id;
      if (lines === 0 || deadHosts.has(job.host)) continue;
      try {
        for await (const line of jobLogs(job, { lines, follow: false, signal })) {
          past.lines.push(lineOf(job, name, line));
          past.lastOf.set(job.id, line.ts);
        }
      } catch (error) {
        if (isFlynnError(error, 'not_found') || signal.aborted) continue;
        // The other jobs of a host that does not answer are not waited for one by one.
        if (isFlynnError(error, 'unreachable') || isFlynnError(error, 'timeout')) deadHosts.add(job.host);
        past.notices.push(
          notice(job, name, clock, `no log of ${name} from host ${job.host}: ${textOf(error)}`),
        );
      }
      // Kept short while it is gathered: only the last lines of all are wanted.
      if (past.lines.length > 4 * limits.lines) past.lines = lastByTime(past.lines, lines);
    }
  };
  await Promise.all(Array.from({ length: limits.parallel }, worker));
  past.lines = lastByTime(past.lines, lines);
  return past;
}

/** The last `count` lines in order of time; lines of one moment keep their order. */
export function lastByTime(lines: readonly LogLine[], count: number): LogLine[] {
  const sorted = [...lines].sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  return count === 0 ? [] : sorted.slice(-count);
}

async function followAll(
  ports: AppLogPorts,
  request: AppLogRequest,
  lastOf: Map<string, string>,
  sink: LineSink,
): Promise<void> {
  const { picture, clock } = ports;
  const wakeup = new Wakeup(clock);
  const end = picture.onChange(
    (touched) => void ((touched === 'all' || touched.has(request.app)) && wakeup.ring()),
  );
  const followed = new Set<string>();
  let broken: unknown;
  const began = new Date(clock.now()).toISOString();
  let first = true;
  try {
    while (!sink.signal.aborted && picture.app(request.app)) {
      const names = namesOf(picture, request);
      for (const job of jobsOf(picture, request)) {
        if (followed.has(job.id) || followed.size >= limits.followed || !job.claim) continue;
        // A job that was there before goes on after its last line; a new one from its beginning.
        const since = lastOf.get(job.id) ?? (first ? began : undefined);
        const name = names.get(job.id) ?? job.id;
        followed.add(job.id);
        followJob(ports, job, name, since, sink).catch((error: unknown) => {
          broken = error;
          wakeup.ring();
        });
      }
      first = false;
      for (const id of followed) if (!isBooked(picture, id)) followed.delete(id);
      await wakeup.wait(2_000, sink.signal);
      if (broken !== undefined) throw broken;
    }
  } finally {
    end();
  }
}

/** Follows one job until it is gone; a lost connection is reported once and taken up again. */
async function followJob(
  { picture, jobLogs, clock, rng }: AppLogPorts,
  job: JobRecord,
  name: string,
  from: string | undefined,
  sink: LineSink,
): Promise<void> {
  let since = from;
  // Lines of the moment at which it was left off were written already.
  let seen = new Set<string>();
  let resuming = from !== undefined;
  let failures = 0;
  while (!sink.signal.aborted) {
    try {
      const options = { lines: limits.lines, follow: true, signal: sink.signal, ...(since ? { since } : {}) };
      for await (const line of jobLogs(job, options)) {
        failures = 0;
        const mark = `${line.ts} ${line.line}`;
        if (resuming && (line.ts < (since ?? '') || seen.has(mark) || (seen.size === 0 && line.ts === since)))
          continue;
        if (line.ts !== since) {
          since = line.ts;
          seen = new Set();
          resuming = false;
        }
        seen.add(mark);
        await sink.write(lineOf(job, name, line));
      }
    } catch (error) {
      if (sink.signal.aborted) return;
      if (failures === 0 && !isFlynnError(error, 'not_found'))
        await sink.write(
          notice(job, name, clock, `the log of ${name} from host ${job.host} broke off: ${textOf(error)}`),
        );
    }
    if (!isBooked(picture, job.id)) return;
    failures += 1;
    resuming = since !== undefined;
    await clock.sleep(backoff(failures, rng, retryMs.base, retryMs.max), sink.signal).catch(() => undefined);
  }
}

function isBooked(picture: Picture, id: string): boolean {
  return picture.records.claims.items().has(`claims/${id.slice(0, -27)}/${id}`);
}

function jobsOf(picture: Picture, { app, type }: AppLogRequest): JobRecord[] {
  return picture.jobs(app).filter((job) => type === undefined || job.type === type);
}

/** Names as `ps` has them; a job that has ended goes by the end of its id. */
function namesOf(picture: Picture, request: AppLogRequest): Map<string, string> {
  const names = new Map<string, string>();
  const counts = new Map<string, number>();
  const jobs = picture.jobs(request.app);
  for (const job of [
    ...jobs.filter((j) => j.claim?.w !== 'stop'),
    ...jobs.filter((j) => j.claim?.w === 'stop'),
  ]) {
    if (!job.claim) {
      names.set(job.id, `${job.type}.${job.id.slice(-6)}`);
      continue;
    }
    const ordinal = (counts.get(job.type) ?? 0) + 1;
    counts.set(job.type, ordinal);
    names.set(job.id, `${job.type}.${ordinal}`);
  }
  return names;
}

function lineOf(job: Pick<JobRecord, 'id'>, name: string, { stream, line, ts }: AgentLine): LogLine {
  return { job: job.id, name, stream, at: ts, line };
}

function notice(job: Pick<JobRecord, 'id'>, name: string, clock: Clock, line: string): LogLine {
  return { job: job.id, name, stream: 'flynn', at: new Date(clock.now()).toISOString(), line };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
