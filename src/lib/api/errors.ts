// Coded errors: what went wrong with which object, and the next command to type.

/** Every code that crosses a room or the wire, with the exit code the command line ends with (RULES, "exit codes"). */
export const exitCodes = {
  internal: 1,
  usage: 2,
  invalid: 2,
  not_found: 3,
  image_missing: 3,
  conflict: 4,
  exists: 4,
  fenced: 4,
  refused: 5,
  forbidden: 5,
  unreachable: 6,
  no_quorum: 7,
  no_capacity: 7,
  missing: 7,
  frozen: 7,
  too_large: 2,
  failed: 8,
  build_failed: 8,
  timeout: 124,
  interrupted: 130,
  /** A write whose answer was lost: resolve it by id before anything is planned again. */
  ambiguous: 6,
  /** A revision that etcd has compacted away: relist. */
  compacted: 1,
} as const;

/** One of the stable error codes. */
export type ErrorCode = keyof typeof exitCodes;

/** What each exit code of the command line means; `run` alone passes on the code of its job. */
export const exitMeanings: Readonly<Record<0 | (typeof exitCodes)[ErrorCode], string>> = {
  0: 'done, or nothing to do',
  1: 'a mistake in Flynn',
  2: 'usage, or something that is not valid',
  3: 'not found',
  4: 'in conflict with what is there',
  5: 'refused: a key, a role or a host key',
  6: 'not reachable',
  7: 'no quorum, no capacity, or something that is needed is missing',
  8: 'built or deployed, and failed: the old release serves',
  124: 'not within its time',
  130: 'interrupted',
};

/** The shape of an error on the wire and under `--json`. */
export interface ErrorBody {
  code: ErrorCode;
  message: string;
  hint?: string;
}

/** What an error is made of: `message` names the object, `hint` is the next command to type. */
export interface FlynnErrorOptions extends ErrorBody {
  cause?: unknown;
}

/** The one error class that carries a code. Anything else that is thrown is our bug and ends with exit code 1. */
export class FlynnError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(options: FlynnErrorOptions) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'FlynnError';
    this.code = options.code;
    this.hint = options.hint;
  }

  /** Exit code of the command line for this error, 1–130. */
  get exitCode(): number {
    return exitCodes[this.code];
  }

  /** The error as it goes over the wire. */
  toBody(): ErrorBody {
    return { code: this.code, message: this.message, ...(this.hint ? { hint: this.hint } : {}) };
  }
}

/** True when `code` is one of ours; anything else from the wire is treated as `internal`. */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(exitCodes, code);
}

/** True when `error` is ours and, when `code` is given, carries that code. */
export function isFlynnError(error: unknown, code?: ErrorCode): error is FlynnError {
  return error instanceof FlynnError && (code === undefined || error.code === code);
}

/** Makes an error of ours out of anything that was thrown; ours pass unchanged. */
export function toFlynnError(error: unknown): FlynnError {
  if (error instanceof FlynnError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new FlynnError({ code: 'internal', message, cause: error });
}

/** Rebuilds an error from its body on the wire; `status` is used when the body is not one of ours. */
export function errorFromBody(body: unknown, status: number): FlynnError {
  if (typeof body === 'object' && body !== null && 'code' in body && isErrorCode(body.code)) {
    const { message, hint } = body as unknown as ErrorBody;
    return new FlynnError({
      code: body.code,
      message: String(message),
      ...(hint ? { hint: String(hint) } : {}),
    });
  }
  return new FlynnError({ code: 'internal', message: `unexpected answer with status ${status}` });
}

/** HTTP status for a code. */
export function httpStatus(code: ErrorCode): number {
  switch (code) {
    case 'usage':
    case 'invalid':
      return 400;
    case 'refused':
      return 401;
    case 'forbidden':
      return 403;
    case 'not_found':
    case 'image_missing':
      return 404;
    case 'conflict':
    case 'exists':
    case 'fenced':
      return 409;
    case 'compacted':
      return 410;
    case 'too_large':
      return 413;
    case 'failed':
    case 'build_failed':
      return 422;
    case 'no_quorum':
    case 'no_capacity':
    case 'unreachable':
    case 'missing':
    case 'frozen':
      return 503;
    case 'timeout':
      return 504;
    default:
      return 500;
  }
}
