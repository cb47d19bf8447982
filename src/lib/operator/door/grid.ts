// Layer 0 as its operator uses it: typed calls through the door, to Sampi and to the agents.
import type { Duplex, Readable } from 'node:stream';
import { z } from 'zod';
import { ServiceList, ServiceView } from '../../api/discovery.js';
import { DoorInfo } from '../../api/door.js';
import { isFlynnError, toFlynnError, type FlynnError } from '../../api/errors.js';
import type { HttpClient } from '../../api/http.js';
import { JobView, type JobTemplate, type JobTemplateInput } from '../../api/job.js';
import { hostOfJob } from '../../api/names.js';
import {
  BookAnswer,
  ClaimsPage,
  GridView,
  TransactionAnswer,
  type SetTags,
  type TransactionInput,
} from '../../api/sampi.js';
import { NamedTemplate } from '../../api/sampi-routes.js';
import { HostFacts, JobLogLine, VolumeView, type PutVolume } from '../../layer0/host/shapes.js';

/** A line of a job's output. */
export type JobLogLine = z.infer<typeof JobLogLine>;

/** A claim with the host and the job that it is of. */
export type ListedClaim = ClaimsPage['claims'][number];

/** A host whose agent does not answer, and what there was instead. */
export interface SilentHost {
  host: string;
  error: FlynnError;
}

/** What goes with a call. */
export interface CallOptions {
  signal?: AbortSignal;
}

/** Time that an agent has for one answer, ms: a frozen one must not hold up what is asked of all. */
const agentMs = 3_000;

/** Calls to a grid. Every one throws the coded errors of who answers, and `unreachable` or `timeout` when nobody does. */
export class GridClient {
  constructor(private readonly http: HttpClient) {}

  /** What the door says of itself and of etcd. */
  info(options: CallOptions = {}): Promise<DoorInfo> {
    return this.http.call('GET', '/', DoorInfo, options);
  }

  /** All hosts with their books, at one revision. */
  view(options: CallOptions = {}): Promise<GridView> {
    return this.http.call('GET', '/sampi/v1/view', GridView, options);
  }

  /** All claims, or those of a host or an owner. */
  async claims(
    of: { host?: string; owner?: string } = {},
    options: CallOptions = {},
  ): Promise<ListedClaim[]> {
    const claims: ListedClaim[] = [];
    for (let page: string | undefined; ;) {
      const query = new URLSearchParams({ ...of, ...(page === undefined ? {} : { page }) });
      const answer = await this.http.call('GET', `/sampi/v1/claims?${query.toString()}`, ClaimsPage, options);
      claims.push(...answer.claims);
      page = answer.next;
      if (page === undefined) return claims;
    }
  }

  /** What the agents of these hosts report of their jobs, and who of them does not answer. */
  async jobsOn(
    hosts: readonly string[],
    options: CallOptions = {},
  ): Promise<{ jobs: JobView[]; silent: SilentHost[] }> {
    const schema = z.object({ jobs: z.array(JobView) });
    const { answers, silent } = await this.all(hosts, 'jobs', schema, options);
    return { jobs: answers.flatMap(({ jobs }) => jobs), silent };
  }

  /** The volumes of these hosts, and who of them does not answer. */
  async volumes(
    hosts: readonly string[],
    options: CallOptions = {},
  ): Promise<{ volumes: VolumeView[]; silent: SilentHost[] }> {
    const schema = z.object({ volumes: z.array(VolumeView) });
    const { answers, silent } = await this.all(hosts, 'volumes', schema, options);
    return { volumes: answers.flatMap(({ volumes }) => volumes), silent };
  }

  /** The same of many agents at once. */
  private async all<S extends z.ZodType>(
    hosts: readonly string[],
    path: string,
    schema: S,
    { signal }: CallOptions,
  ): Promise<{ answers: z.infer<S>[]; silent: SilentHost[] }> {
    const silent: SilentHost[] = [];
    const options = { timeoutMs: agentMs, ...(signal ? { signal } : {}) };
    const answers = await Promise.all(
      hosts.map(async (host) => {
        try {
          return [await this.http.call('GET', `${agent(host)}/${path}`, schema, options)];
        } catch (error) {
          if (signal?.aborted) throw error;
          silent.push({ host, error: toFlynnError(error) });
          return [];
        }
      }),
    );
    return { answers: answers.flat(), silent };
  }

  /** What a host's agent says of its host and itself. */
  facts(host: string, options: CallOptions = {}): Promise<HostFacts> {
    return this.http.call('GET', `${agent(host)}/facts`, HostFacts, { timeoutMs: agentMs, ...options });
  }

  /** One job, as its agent sees it. */
  job(id: string, options: CallOptions = {}): Promise<JobView> {
    return this.http.call('GET', jobPath(id), JobView, options);
  }

  /** The template of that hash; undefined when it is gone. */
  async template(hash: string, options: CallOptions = {}): Promise<JobTemplate | undefined> {
    try {
      const path = `/sampi/v1/templates/${encodeURIComponent(hash)}`;
      return (await this.http.call('GET', path, NamedTemplate, options)).template;
    } catch (error) {
      if (isFlynnError(error, 'not_found')) return undefined;
      throw error;
    }
  }

  /** Stores a template; returns its hash. */
  putTemplate(template: JobTemplateInput, options: CallOptions = {}): Promise<z.infer<typeof NamedTemplate>> {
    return this.http.call('PUT', '/sampi/v1/templates', NamedTemplate, { body: template, ...options });
  }

  /** Commits a transaction. The same id again finds what it did the first time. */
  transact(request: TransactionInput, options: CallOptions = {}): Promise<TransactionAnswer> {
    return this.http.call('POST', '/sampi/v1/transactions', TransactionAnswer, { body: request, ...options });
  }

  /** The output of a job over all its containers. */
  logs(
    id: string,
    which: { follow: boolean; lines?: number | undefined; since?: string | undefined },
    options: CallOptions = {},
  ): AsyncGenerator<JobLogLine> {
    const query = new URLSearchParams({ follow: which.follow ? '1' : '0' });
    if (which.lines !== undefined) query.set('lines', String(which.lines));
    if (which.since !== undefined) query.set('since', which.since);
    return this.http.stream('GET', `${jobPath(id)}/logs?${query.toString()}`, JobLogLine, options);
  }

  /** Sends a signal to a job's process. */
  async signal(id: string, signal: string, options: CallOptions = {}): Promise<void> {
    await this.http.call('POST', `${jobPath(id)}/signal`, z.unknown(), { body: { signal }, ...options });
  }

  /** The frames of a job's streams. */
  attach(id: string, options: CallOptions = {}): Promise<Duplex> {
    return this.http.upgrade('POST', `${jobPath(id)}/attach`, options);
  }

  /** Stops or resumes placements on a host; false when it was so already. */
  async cordon(host: string, cordoned: boolean, options: CallOptions = {}): Promise<boolean> {
    const path = `/sampi/v1/hosts/${host}/cordon`;
    return (await this.http.call('PUT', path, BookAnswer, { body: { cordoned }, ...options })).changed;
  }

  /** Sets and takes away tags of a host. */
  tags(host: string, tags: SetTags, options: CallOptions = {}): Promise<BookAnswer> {
    return this.http.call('PUT', `/sampi/v1/hosts/${host}/tags`, BookAnswer, { body: tags, ...options });
  }

  /** Makes an empty volume; one that is there already is left as it is. */
  putVolume(host: string, name: string, wish: PutVolume, options: CallOptions = {}): Promise<VolumeView> {
    return this.http.call('PUT', volumePath(host, name), VolumeView, { body: wish, ...options });
  }

  /** Destroys a volume and its data. Throws `conflict` while a job is claimed with it. */
  async deleteVolume(host: string, name: string, options: CallOptions = {}): Promise<void> {
    await this.http.call('DELETE', volumePath(host, name), z.unknown(), options);
  }

  /** The content of a volume as a tar. */
  snapshot(host: string, name: string, options: CallOptions = {}): Promise<Readable> {
    return this.http.download(`${volumePath(host, name)}/snapshot`, options);
  }

  /** Makes a volume from such a tar. Throws `exists` when one of that name is there. */
  restore(
    host: string,
    name: string,
    wish: { owner: string },
    tar: Readable,
    options: CallOptions = {},
  ): Promise<VolumeView> {
    const path = `${volumePath(host, name)}/restore?${new URLSearchParams(wish).toString()}`;
    return this.http.upload('POST', path, VolumeView, tar, options);
  }

  /** Services in discovery, as a host's agent knows them. */
  services(host: string, options: CallOptions = {}): Promise<ServiceList> {
    return this.http.call('GET', `${agent(host)}/services`, ServiceList, options);
  }

  /** A service with its instances. */
  service(host: string, name: string, options: CallOptions = {}): Promise<ServiceView> {
    return this.http.call('GET', `${agent(host)}/services/${encodeURIComponent(name)}`, ServiceView, options);
  }
}

const volumePath = (host: string, name: string): string =>
  `${agent(host)}/volumes/${encodeURIComponent(name)}`;
const agent = (host: string): string => `/hosts/${encodeURIComponent(host)}/v1`;
const jobPath = (id: string): string => `${agent(hostOfJob(id))}/jobs/${encodeURIComponent(id)}`;
