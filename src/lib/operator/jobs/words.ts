// What people type for Layer 0, checked before any call: names, ids and signals, each with a sentence when it does not fit.
import type { z } from 'zod';
import { FlynnError } from '../../api/errors.js';
import { HostName, JobId, ServiceName } from '../../api/names.js';
import { VolumeName } from '../../api/volume.js';
import { z as zod } from 'zod';

/** A kind of word: its schema, what it is called, and the command that shows good ones. */
export interface Word<S extends z.ZodType> {
  schema: S;
  what: string;
  hint: string;
}

/** The kinds of word. */
export const words = {
  host: { schema: HostName, what: 'host', hint: 'flynn hosts' },
  job: { schema: JobId, what: 'job', hint: 'flynn jobs:list' },
  service: { schema: ServiceName, what: 'service', hint: 'flynn services' },
  volume: { schema: VolumeName, what: 'volume', hint: 'flynn volumes' },
  owner: {
    schema: zod
      .string()
      .max(80, 'an owner has at most 80 characters')
      .regex(/^[A-Za-z0-9][\w.@-]*(\/[A-Za-z0-9][\w.@-]*)*$/, 'an owner is words joined by slashes'),
    what: 'owner',
    hint: 'flynn jobs:list --owner app/hello',
  },
} as const satisfies Record<string, Word<z.ZodType>>;

/** The word as its schema gives it; throws `usage`. */
export function checkWord<S extends z.ZodType>({ schema, what, hint }: Word<S>, value: string): z.infer<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new FlynnError({
    code: 'usage',
    message: `${what} '${value.slice(0, 60)}': ${result.error.issues[0]?.message ?? 'not valid'}`,
    hint,
    cause: result.error,
  });
}

/** As `checkWord`, for flags that may be left out. */
export function checkOptional<S extends z.ZodType>(
  word: Word<S>,
  value: string | undefined,
): z.infer<S> | undefined {
  return value === undefined ? undefined : checkWord(word, value);
}

/** Signals that a job may be sent. */
const signals = ['HUP', 'INT', 'QUIT', 'KILL', 'TERM', 'USR1', 'USR2', 'WINCH'];

/** Reads `TERM`, `sigterm`, `SIGTERM`; throws `usage` for what is none. */
export function parseSignal(word: string): string {
  const name = word.toUpperCase().replace(/^SIG/, '');
  if (signals.includes(name)) return `SIG${name}`;
  throw new FlynnError({
    code: 'usage',
    message: `'${word.slice(0, 30)}' is not a signal that a job can be sent: ${signals.join(', ')}`,
    hint: 'flynn jobs:signal JOB TERM',
  });
}

/** Reads a time as agents take it; throws `usage`. */
export function parseSince(word: string): string {
  if (/^\d{1,12}(\.\d{1,9})?$/.test(word)) return word;
  if (/^\d{4}-\d\d-\d\dT/.test(word) && !Number.isNaN(Date.parse(word))) return word;
  throw new FlynnError({
    code: 'usage',
    message: `--since ${word.slice(0, 40)} is no time`,
    hint: '--since 2026-01-31T12:00:00Z   (or seconds since 1970)',
  });
}
