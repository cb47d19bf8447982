// An attach on fakes: an agent's state with one job, a Docker engine in memory, and the two ends of a connection.
import { Duplex, PassThrough } from 'node:stream';
import { decodeFrames, frame, writeFrame, type Frame } from '../../../src/lib/api/attach.js';
import { keys } from '../../../src/lib/api/keys.js';
import { JobTemplate, type JobTemplateInput } from '../../../src/lib/api/job.js';
import { attachJob, type AttachAgent } from '../../../src/lib/layer0/host/attach-job.js';
import { AttachPeer } from '../../../src/lib/layer0/host/attach-peer.js';
import { seen } from '../../../src/lib/layer0/host/containers.js';
import * as reduce from '../../../src/lib/layer0/host/reduce.js';
import { containerSpec } from '../../../src/lib/layer0/host/spec.js';
import { emptyState } from '../../../src/lib/layer0/host/state.js';
import type { Docker } from '../../../src/lib/docker/index.js';
import { silentLog } from '../../../src/lib/util/log.js';
import { systemClock, type Clock } from '../../../src/lib/util/clock.js';
import { claim, host } from './world.js';

/** Two ends of a connection in memory; destroying one end closes the other. */
export const connection = (): [Duplex, Duplex] => {
  const [up, down] = [new PassThrough(), new PassThrough()];
  const make = (readable: PassThrough, writable: PassThrough): Duplex =>
    Duplex.from({ readable, writable } as never);
  const ends: [Duplex, Duplex] = [make(up, down), make(down, up)];
  for (const [one, other] of [ends, ends.toReversed()] as [Duplex, Duplex][]) {
    one.on('error', () => undefined);
    one.once('close', () => setImmediate(() => other.destroy()));
  }
  return ends;
};

/** What an attached side saw. */
export interface Seen {
  stdout: string;
  stderr: string;
  types: number[];
  last: Frame | undefined;
  lastJson: unknown;
}

/** Reads all frames of a side. */
export const readAll = async (
  side: AsyncIterable<Buffer>,
  each: (one: Frame) => void = () => undefined,
): Promise<Seen> => {
  const all: Seen = { stdout: '', stderr: '', types: [], last: undefined, lastJson: undefined };
  for await (const one of decodeFrames(side)) {
    const last = { type: one.type, payload: Buffer.from(one.payload) };
    all.last = last;
    all.types.push(one.type);
    if (one.type === frame.stdout) all.stdout += last.payload.toString();
    else if (one.type === frame.stderr) all.stderr += last.payload.toString();
    else all.lastJson = JSON.parse(last.payload.toString());
    each(last);
  }
  return all;
};

/** One host with one job, and attaches to it. */
export class AttachRig {
  readonly job = `a-${'0'.repeat(25)}1`;
  readonly state = emptyState(host, 0);
  readonly stop = new AbortController();
  readonly agent: AttachAgent;
  private readonly watchers = new Set<() => void>();

  constructor(
    readonly docker: Docker,
    readonly clock: Clock = systemClock,
  ) {
    this.agent = {
      deps: { state: this.state, docker, clock, log: silentLog },
      kick: () => this.changed(),
      watch: (cb) => {
        this.watchers.add(cb);
        return () => void this.watchers.delete(cb);
      },
    };
    Object.assign(this.state, { claimsFrom: 'store', dockerUp: true });
  }

  changed(): void {
    for (const cb of [...this.watchers]) cb();
  }

  /** The claim arrives. */
  claim(input: Partial<JobTemplateInput> = {}): JobTemplate {
    const template = JobTemplate.parse({ kind: 'oneoff', attach: true, image: 'app:1', ...input });
    this.state.templates.set('t', template);
    this.state.claims.put(keys.claim(host.name, this.job), claim({ t: 't', p: [], m: 64 }), 1);
    reduce.syncRecords(this.state);
    this.changed();
    return template;
  }

  /** Makes the job's container as the agent does; returns its id. */
  async create(template: JobTemplate, run = false): Promise<string> {
    const spec = containerSpec({
      job: this.job,
      claim: claim({ t: 't', p: [], m: 64 }),
      template,
      host,
      secrets: {},
      starts: 1,
      attempts: 0,
    });
    const id = await this.docker.containers.create(spec);
    if (run) await this.docker.containers.start(id);
    const made = seen(await this.docker.containers.inspect(id), this.clock.mono());
    if (!made) throw new Error('no labels');
    reduce.started(this.state, made);
    this.changed();
    return id;
  }

  /** Attaches; returns the client's end and the end of the agent's work. */
  attach(): { client: Duplex; served: Promise<void> } {
    const [client, server] = connection();
    return {
      client,
      served: attachJob(this.agent, this.job, new AttachPeer(server, this.clock), this.stop.signal),
    };
  }
}

/** Sends input and its end. */
export const say = async (client: Duplex, text: string): Promise<void> => {
  await writeFrame(client, frame.stdin, text);
  await writeFrame(client, frame.eof);
};
