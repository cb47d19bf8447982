// Errors at the last moment: anything that was thrown becomes a coded body, an exit code and the text people see.
import { FlynnError, isFlynnError, type ErrorBody } from '../api/errors.js';
import { colorsFor } from './colors.js';
import type { Terminal } from './terminal.js';

/** Set by a command that ends with a code and says nothing (`this.exit(3)`). */
interface OclifError extends Error {
  oclif?: { exit?: number | false };
  code?: string;
}

/** What there is to say about a failure. `silent` ones only carry an exit code. */
export interface Failure {
  body: ErrorBody;
  exitCode: number;
  silent: boolean;
  /** The mistake is ours, not the person's. */
  bug: boolean;
  cause: unknown;
}

/** Judges what a command threw. `usage` is the command to type for help, such as `flynn apps:create --help`. */
export function judge(thrown: unknown, usage: string): Failure {
  if (isFlynnError(thrown)) {
    const bug = thrown.code === 'internal';
    return { body: thrown.toBody(), exitCode: thrown.exitCode, silent: false, bug, cause: thrown };
  }
  const error: OclifError = thrown instanceof Error ? thrown : new Error(String(thrown));
  if (['ExitPromptError', 'AbortPromptError', 'AbortError'].includes(error.name)) {
    return fromFlynn(new FlynnError({ code: 'interrupted', message: 'interrupted', cause: thrown }));
  }
  const exit = error.oclif?.exit;
  if (error.code === 'EEXIT') {
    const body: ErrorBody = { code: 'internal', message: 'ended' };
    return { body, exitCode: typeof exit === 'number' ? exit : 0, silent: true, bug: false, cause: thrown };
  }
  // oclif's own errors are about flags and arguments: its parser throws nothing else.
  if (exit !== undefined) {
    const message = error.message
      .replace(/\n?See more help with --help\s*$/, '')
      .replaceAll('\n', ' ')
      .trim();
    return fromFlynn(new FlynnError({ code: 'usage', message, hint: usage, cause: thrown }));
  }
  return {
    body: { code: 'internal', message: error.message || error.name },
    exitCode: 1,
    silent: false,
    bug: true,
    cause: thrown,
  };
}

function fromFlynn(error: FlynnError): Failure {
  return { body: error.toBody(), exitCode: error.exitCode, silent: false, bug: false, cause: error };
}

/** Writes a failure where it belongs: a JSON document on stdout, or sentences on stderr. */
export function printFailure(failure: Failure, terminal: Terminal, json: boolean): void {
  if (failure.silent) return;
  if (json) {
    terminal.stdout.write(`${JSON.stringify(failure.body, null, 2)}\n`);
    return;
  }
  const paint = colorsFor(terminal, 'stderr');
  const lines = [`${paint.red('Error:')} ${failure.body.message}`];
  if (failure.body.hint) lines.push(`  ${paint.cyan('→')} ${failure.body.hint}`);
  if (failure.bug) {
    lines.push('  This is a mistake in Flynn, not yours. Run it again with FLYNN_DEBUG=1 for the details.');
  }
  if (terminal.env.FLYNN_DEBUG) lines.push(detail(failure.cause));
  terminal.stderr.write(`${lines.join('\n')}\n`);
}

function detail(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.stack ?? error.message;
  return error.cause === undefined ? own : `${own}\ncaused by: ${detail(error.cause)}`;
}
