// The routes of Sampi's HTTP API, as a contract: what its server mounts, its clients call and its OpenAPI document says.
import { z } from 'zod';
import type { RouteContract } from './contract.js';
import { Overcommit } from './grid.js';
import { JobTemplate } from './job.js';
import { HostName } from './names.js';
import {
  BookAnswer,
  ClaimsPage,
  ClaimsQuery,
  GridView,
  SetCordon,
  SetTags,
  TransactionAnswer,
  TransactionRequest,
  ViewEvent,
  ViewStreamQuery,
} from './sampi.js';

/** A stored template with the hash that names it. */
export const NamedTemplate = z.object({ hash: z.string(), template: JobTemplate });

const host = z.object({ name: HostName });

/** Bodies above this are refused before they are read whole, bytes. */
export const maxSampiBody = 4 * 1024 * 1024;

/** Every route of Sampi, by name. */
export const sampiRoutes = {
  view: {
    method: 'GET',
    path: '/v1/view',
    summary: 'All hosts with capacity, tags and book, at one revision.',
    answer: GridView,
    errors: [],
  },
  viewStream: {
    method: 'GET',
    path: '/v1/view/stream',
    summary:
      'The view as a stream: what there is, a line `current`, then every change. A reader that is too slow is cut off and told.',
    query: ViewStreamQuery,
    answer: ViewEvent,
    stream: true,
    errors: ['compacted'],
  },
  claims: {
    method: 'GET',
    path: '/v1/claims',
    summary: 'Claims of a host or an owner, or all, in pages that are of one revision.',
    query: ClaimsQuery,
    answer: ClaimsPage,
    errors: ['compacted'],
  },
  transact: {
    method: 'POST',
    path: '/v1/transactions',
    summary: 'Books jobs and changes intentions on many hosts; the same id again finds what it did.',
    body: TransactionRequest,
    answer: TransactionAnswer,
    errors: ['too_large', 'ambiguous'],
  },
  putTemplate: {
    method: 'PUT',
    path: '/v1/templates',
    summary: 'Stores a job template under its hash; an equal one changes nothing.',
    body: JobTemplate,
    answer: NamedTemplate,
    errors: ['too_large'],
  },
  template: {
    method: 'GET',
    path: '/v1/templates/:hash',
    summary: 'The template that a claim names.',
    params: z.object({ hash: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/) }),
    answer: NamedTemplate,
    errors: ['not_found'],
  },
  cordon: {
    method: 'PUT',
    path: '/v1/hosts/:name/cordon',
    summary: 'Stops or resumes placements on a host; what runs there goes on.',
    params: host,
    body: SetCordon,
    answer: BookAnswer,
    errors: ['not_found', 'conflict'],
  },
  tags: {
    method: 'PUT',
    path: '/v1/hosts/:name/tags',
    summary: "Sets and takes away a host's tags; the others stay.",
    params: host,
    body: SetTags,
    answer: BookAnswer,
    errors: ['not_found', 'conflict', 'too_large'],
  },
  overcommit: {
    method: 'PUT',
    path: '/v1/hosts/:name/overcommit',
    summary: 'Declares by which factors a host may be booked beyond its capacity; 1 and 1: not at all.',
    params: host,
    body: Overcommit,
    answer: BookAnswer,
    errors: ['not_found', 'conflict'],
  },
} as const satisfies Record<string, RouteContract>;
