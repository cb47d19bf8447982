// Single words of a job's description: memory, ports, constraints. Pure.
import { FlynnError } from '../../api/errors.js';
import type { Constraint, PortSpec } from '../../api/job.js';

/** A `usage` error. */
export const usage = (message: string, hint = 'flynn jobs:run --help'): FlynnError =>
  new FlynnError({ code: 'usage', message, hint });

const units: Record<string, number> = { '': 1, m: 1, mib: 1, mb: 1, g: 1024, gib: 1024, gb: 1024 };

/** Reads `512`, `512M`, `2G` as bytes; a number alone is MiB. Throws `usage`. */
export function parseMemory(word: string): number {
  const match = /^(\d{1,9})([A-Za-z]{0,3})$/.exec(word.trim());
  const unit = units[match?.[2]?.toLowerCase() ?? 'none'];
  const mib = Number(match?.[1]) * (unit ?? Number.NaN);
  if (!(mib >= 4 && mib <= 4 * 1024 * 1024)) {
    throw usage(
      `--memory ${word.slice(0, 30)} is not an amount of memory from 4 MiB to 4 TiB`,
      '--memory 512   (MiB; also 2G)',
    );
  }
  return mib * 1024 * 1024;
}

/** Reads `8080`, `web=8080`, `8080:80`, `web=8080:80`: name, port inside, and the host's port where it must be that one. */
export function parsePort(
  word: string,
  index: number,
): { name: string } & Pick<PortSpec, 'container' | 'fixed'> {
  const match = /^(?:([a-z][a-z0-9-]{0,29})=)?(\d{1,5})(?::(\d{1,5}))?$/.exec(word);
  const [container, fixed] = [Number(match?.[2]), match?.[3] === undefined ? undefined : Number(match[3])];
  const good = (port: number): boolean => port >= 1 && port <= 65_535;
  if (!good(container) || (fixed !== undefined && !good(fixed))) {
    throw usage(
      `--port ${word.slice(0, 40)} is not [NAME=]PORT[:HOST-PORT]`,
      '--port 8080   (or web=8080:80: its port 8080, at port 80 of its host)',
    );
  }
  const name = match?.[1] ?? (index === 0 ? 'main' : `port-${index + 1}`);
  return { name, container, ...(fixed === undefined ? {} : { fixed }) };
}

/** Reads `zone=north`, `zone=north,south`, `zone!=north`, `ssd`. Throws `usage`. */
export function parseConstraint(word: string): Constraint {
  const match = /^([A-Za-z0-9][\w.-]{0,62})(?:(!?=)(.+))?$/.exec(word);
  const [, tag = '', op, text = ''] = match ?? [];
  const values = text === '' ? [] : text.split(',');
  const bad = !match || values.some((value) => value === '') || (op === '!=' && values.length > 1);
  if (bad) {
    throw usage(
      `--constraint ${word.slice(0, 60)} is not TAG, TAG=VALUE[,VALUE] or TAG!=VALUE`,
      'flynn hosts   (shows the tags of all hosts)',
    );
  }
  if (op === undefined) return { tag, op: 'exists', values: [] };
  return { tag, op: op === '!=' ? 'ne' : values.length > 1 ? 'in' : 'eq', values };
}
