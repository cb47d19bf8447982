// What a failed call to etcd means: refused for good, surely not applied, or nobody knows.
import { FlynnError, type ErrorCode } from '../api/errors.js';

/** The status codes of gRPC that etcd uses. */
export const grpcCode = {
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  outOfRange: 11,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** An error as gRPC reports it. */
export interface GrpcError extends Error {
  code: number;
  details: string;
}

/** Whether an error comes from gRPC. */
export const isGrpcError = (error: unknown): error is GrpcError =>
  error instanceof Error && 'code' in error && typeof error.code === 'number' && 'details' in error;

/**
 * `refused`: the server judged the request; asking another member changes nothing.
 * `not-applied`: the request had no effect; the next endpoint may be asked, a write too.
 * `unknown`: it may have been applied; only reads are repeated.
 */
export type Outcome =
  { kind: 'refused'; code: ErrorCode } | { kind: 'not-applied' | 'unknown'; code: ErrorCode };

// One gRPC code covers several of etcd's errors; these texts are its published constants and tell them apart.
const NO_LEADER = [
  'etcdserver: no leader',
  'etcdserver: unhealthy cluster',
  'etcdserver: rpc not supported for learner',
];
const SPACE = 'etcdserver: mvcc: database space exceeded';
const BUSY = 'etcdserver: too many requests';
const TOO_LARGE = 'etcdserver: request is too large';

/** Judges a gRPC error of a unary call. */
export const judge = (error: GrpcError): Outcome => {
  switch (error.code) {
    case grpcCode.invalidArgument:
      return { kind: 'refused', code: error.details === TOO_LARGE ? 'too_large' : 'invalid' };
    case grpcCode.notFound:
      return { kind: 'refused', code: 'not_found' };
    case grpcCode.alreadyExists:
    case grpcCode.failedPrecondition:
      return { kind: 'refused', code: 'conflict' };
    case grpcCode.permissionDenied:
    case grpcCode.unauthenticated:
      return { kind: 'refused', code: 'forbidden' };
    case grpcCode.outOfRange:
      return { kind: 'refused', code: 'compacted' };
    case grpcCode.resourceExhausted:
      if (error.details === SPACE) return { kind: 'refused', code: 'no_capacity' };
      // Without etcd's own text it is our side that refused an answer of this size.
      return error.details === BUSY
        ? { kind: 'not-applied', code: 'no_quorum' }
        : { kind: 'refused', code: 'too_large' };
    case grpcCode.unavailable:
      return { kind: NO_LEADER.includes(error.details) ? 'not-applied' : 'unknown', code: 'no_quorum' };
    default:
      return { kind: 'unknown', code: 'no_quorum' };
  }
};

/** An error of the store in our own form. */
export const storeError = (
  code: ErrorCode,
  what: string,
  endpoints: readonly string[],
  cause?: unknown,
): FlynnError => {
  const where = endpoints.join(', ');
  const why = isGrpcError(cause) ? cause.details : cause instanceof Error ? cause.message : undefined;
  const tail = why ? `: ${why}` : '';
  switch (code) {
    case 'unreachable':
      return new FlynnError({
        code,
        message: `etcd cannot be reached at ${where} (${what})${tail}`,
        hint: 'flynn cluster status',
        cause,
      });
    case 'no_quorum':
      return new FlynnError({
        code,
        message: `etcd at ${where} has no leader or does not answer (${what})${tail}`,
        hint: 'flynn cluster status',
        cause,
      });
    case 'ambiguous':
      return new FlynnError({
        code,
        message: `etcd at ${where} may or may not have applied ${what}: the answer was lost${tail}`,
        hint: 'run the same command again: it finds out by id what was done',
        cause,
      });
    case 'no_capacity':
      return new FlynnError({
        code,
        message: `etcd refuses writes, its database is full (${what})`,
        hint: 'flynn cluster status',
        cause,
      });
    default:
      return new FlynnError({
        code,
        message: `etcd refused ${what}${tail}`,
        hint: 'flynn cluster status',
        cause,
      });
  }
};
