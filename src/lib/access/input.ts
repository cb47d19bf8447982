// What people type as NAME=VALUE: counts of processes, environment variables. Parsed and checked before any call.
import type { Readable } from 'node:stream';
import { FlynnError } from '../api/errors.js';
import { EnvKey, ProcessType } from '../api/names.js';
import { check } from './check.js';

/** Most instances of one type. */
const mostInstances = 1000;

/** Reads `web=3 worker=0`. Throws `usage` naming the argument that is wrong. */
export function parseCounts(words: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  const hint = 'flynn scale web=3 worker=2';
  for (const word of words) {
    const { name, value } = split(word, 'a process type and a count', hint);
    const type = check(ProcessType, name, 'process type', hint);
    if (!/^\d+$/.test(value) || Number(value) > mostInstances) {
      throw new FlynnError({
        code: 'usage',
        message: `${word}: the count of ${type} is a whole number from 0 to ${mostInstances}, not '${value}'`,
        hint,
      });
    }
    if (Object.hasOwn(counts, type)) throw twice(type);
    counts[type] = Number(value);
  }
  return counts;
}

/**
 * Reads `KEY=value …`; `KEY=-` takes the value from standard input (one of them at most), so that a secret stands in
 * no list of processes and no shell history. Throws `usage`.
 */
export async function parseEnv(
  words: readonly string[],
  readInput: () => Promise<string>,
): Promise<Record<string, string>> {
  const hint = 'flynn env:set GREETING=hello   (KEY=- reads the value from standard input)';
  if (words.length === 0) throw new FlynnError({ code: 'usage', message: 'no variable was named', hint });
  const env: Record<string, string> = {};
  let read = false;
  for (const word of words) {
    const { name, value } = split(word, 'a name and a value', hint);
    const key = check(EnvKey, name, 'variable', hint);
    if (Object.hasOwn(env, key)) throw twice(key);
    if (value === '-' && read) {
      throw new FlynnError({ code: 'usage', message: 'only one value can come from standard input', hint });
    }
    env[key] = value === '-' ? (await readInput()).replace(/\r?\n$/, '') : value;
    read ||= value === '-';
  }
  return env;
}

/** Reads names of variables. Throws `usage` when there is none, or one is no name. */
export function parseKeys(words: readonly string[], hint: string): string[] {
  if (words.length === 0) throw new FlynnError({ code: 'usage', message: 'no variable was named', hint });
  return words.map((word) => check(EnvKey, word, 'variable', hint));
}

/** All of a stream as text. Throws `too_large` beyond `limit` bytes. */
export async function readAll(stream: Readable, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer | string>) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size > limit) {
      throw new FlynnError({ code: 'too_large', message: `standard input holds more than ${limit} bytes` });
    }
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function split(word: string, what: string, hint: string): { name: string; value: string } {
  const at = word.indexOf('=');
  if (at > 0) return { name: word.slice(0, at), value: word.slice(at + 1) };
  throw new FlynnError({ code: 'usage', message: `'${word}' is not ${what} joined by =`, hint });
}

function twice(name: string): FlynnError {
  return new FlynnError({ code: 'usage', message: `${name} is named twice`, hint: 'name it once' });
}
