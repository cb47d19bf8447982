// What an engine answers when it will not or cannot, as coded errors.
import { FlynnError, isFlynnError, type ErrorCode } from '../api/errors.js';
import { DeadlineError } from '../util/signal.js';

/** What was being done, for messages and for the code of a 404. */
export interface Doing {
  /** `start web-1`, `pull debian:12` … */
  what: string;
  /** Code of an HTTP 404. Default `not_found`. */
  missing?: ErrorCode;
  /** Which engine: `at /var/run/docker.sock`, `on node1`. */
  where: string;
}

const field = (error: unknown, name: string): unknown =>
  typeof error === 'object' && error !== null ? (error as Record<string, unknown>)[name] : undefined;

const byStatus = (status: number, missing: ErrorCode): ErrorCode => {
  if (status === 404) return missing;
  if (status === 409) return 'conflict';
  if (status === 400) return 'invalid';
  if (status === 401 || status === 403) return 'refused';
  return 'failed';
};

const reasonOf = (error: unknown): string => {
  const message = field(field(error, 'json'), 'message');
  if (typeof message === 'string' && message !== '') return message;
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/^\(HTTP code \d+\) .*? - /s, '').trim();
};

const HINTS: Record<string, string> = {
  ENOENT: 'is Docker installed and running? try: docker info',
  ECONNREFUSED: 'is Docker running? try: docker info',
  EACCES: 'use root, or a user in the group docker',
};

/** Makes a coded error out of what docker-modem, a socket or a signal threw. */
export const engineError = (error: unknown, doing: Doing, signal?: AbortSignal): unknown => {
  const reason: unknown = signal?.aborted ? signal.reason : undefined;
  if (reason instanceof DeadlineError || (reason instanceof Error && reason.name === 'TimeoutError')) {
    return new FlynnError({
      code: 'timeout',
      message: `the Docker engine ${doing.where} did not ${doing.what} in time`,
      cause: reason,
    });
  }
  if (reason !== undefined) return reason;
  if (isFlynnError(error)) return error;
  const status = field(error, 'statusCode');
  if (typeof status === 'number') {
    const code = byStatus(status, doing.missing ?? 'not_found');
    return new FlynnError({ code, message: `cannot ${doing.what}: ${reasonOf(error)}`, cause: error });
  }
  const code = field(error, 'code');
  return new FlynnError({
    code: code === 'EACCES' ? 'refused' : 'unreachable',
    message: `the Docker engine ${doing.where} does not answer: ${typeof code === 'string' ? code : reasonOf(error)}`,
    hint: (typeof code === 'string' ? HINTS[code] : undefined) ?? 'try: docker info',
    cause: error,
  });
};
