// What goes wrong with a connection, as coded errors that name the host and the next command to type.
import { FlynnError, isFlynnError } from '../api/errors.js';
import { DeadlineError } from '../util/signal.js';
import type { Verdict } from './host-keys.js';
import { keygenName } from './known-hosts.js';
import type { HostKey, SshTarget } from './port.js';
import { describeTarget, hostPort } from './target.js';

/** What a person looks at, by what the network said. */
const QUESTIONS: Record<string, string> = {
  ECONNREFUSED: 'is sshd running there, and is the port right?',
  ENOTFOUND: 'is the name right?',
  EAI_AGAIN: 'the name server does not answer: is this network up?',
  ETIMEDOUT: 'is the host up, and does a firewall let this computer in?',
  EHOSTUNREACH: 'there is no route to the host: is this network up?',
  ENETUNREACH: 'there is no route to the host: is this network up?',
};

/** A command that shows more, and what to look at. */
const hintFor = (target: SshTarget, code: string | undefined): string => {
  const unresolved = code === 'ENOTFOUND' || code === 'EAI_AGAIN';
  const command = unresolved
    ? `getent hosts ${target.host}`
    : `ssh -v -p ${target.port} ${target.user}@${target.host}`;
  const question = code === undefined ? undefined : QUESTIONS[code];
  return question === undefined ? command : `${command}   (${question})`;
};

const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;

/** A TCP connect, handshake or channel that the network ended. */
export const unreachable = (target: SshTarget, cause: unknown): FlynnError => {
  if (isFlynnError(cause)) return cause;
  const code = codeOf(cause);
  const why = code ?? (cause instanceof Error ? cause.message : String(cause));
  return new FlynnError({
    code: 'unreachable',
    message: `${describeTarget(target)} cannot be reached over SSH: ${why}`,
    hint: hintFor(target, code),
    cause,
  });
};

/** Connect, handshake and authentication took longer than allowed. */
export const connectTimeout = (target: SshTarget, ms: number): FlynnError =>
  new FlynnError({
    code: 'unreachable',
    message: `${describeTarget(target)} did not answer over SSH within ${Math.round(ms / 1000)} s`,
    hint: hintFor(target, 'ETIMEDOUT'),
  });

/** The reason of an aborted signal: `timeout` for deadlines, anything else as it is. */
export const aborted = (reason: unknown, what: string): unknown =>
  reason instanceof DeadlineError || (reason instanceof Error && reason.name === 'TimeoutError')
    ? new FlynnError({ code: 'timeout', message: `${what} did not end in time`, cause: reason })
    : reason;

/** No key was accepted. `tried` names the keys in the order in which they were offered. */
export const authRefused = (
  target: SshTarget,
  tried: readonly string[],
  { hint, cause }: { hint?: string | undefined; cause?: unknown } = {},
): FlynnError =>
  new FlynnError({
    code: 'refused',
    message: `${describeTarget(target)} accepts none of the keys: ${
      tried.length ? `tried ${tried.join(', ')}` : 'there is none to offer'
    }`,
    hint:
      hint ??
      `name a key with --identity FILE, or install yours: ssh-copy-id -p ${target.port} ${target.user}@${target.host}`,
    cause,
  });

const keygenFile = (type: string): string =>
  `ssh-keygen -lf /etc/ssh/ssh_host_${type.replace(/^ssh-/, '').replace(/-.*$/, '')}_key.pub`;

/** The host key is not trusted: unknown, changed or revoked. */
export const keyRefused = (
  target: SshTarget,
  key: HostKey,
  verdict: Exclude<Verdict, { kind: 'trusted' }>,
): FlynnError => {
  const where = target.name ? `${target.name} (${hostPort(target)})` : hostPort(target);
  const shown = `${key.fingerprint} (${key.type})`;
  const compare = `compare it with '${keygenFile(key.type)}' on the host's own console`;
  switch (verdict.kind) {
    case 'unknown':
      return new FlynnError({
        code: 'refused',
        message: `the host key of ${where} is not known: ${shown}`,
        hint: `${compare}, then run again with --host-key ${key.fingerprint}`,
      });
    case 'revoked':
      return new FlynnError({
        code: 'refused',
        message: `the host key of ${where} is revoked in ${verdict.origin}: ${shown}`,
        hint: 'the host needs a new host key before it can be used',
      });
    case 'mismatch':
      return new FlynnError({
        code: 'refused',
        message: `the host key of ${where} is not the pinned one: it shows ${shown}, pinned is ${verdict.expected.join(' or ')}`,
        hint: `somebody may be in between. If the host was reinstalled, ${compare}, then run again with --host-key ${key.fingerprint}`,
      });
    case 'changed':
      return new FlynnError({
        code: 'refused',
        message: `the host key of ${where} has changed: it shows ${shown}, known is ${verdict.expected.join(' or ')} (${verdict.origins.join(', ')})`,
        hint: `somebody may be in between. If the host was reinstalled, ${compare}, then forget the old key: ssh-keygen -R '${keygenName(target.host, target.port)}'`,
      });
  }
};

const PROHIBITED = 1;

/** A channel that the host did not open; `what` is e.g. `a connection to 127.0.0.1:80`. */
export const channelRefused = (target: SshTarget, what: string, cause: unknown): FlynnError => {
  const reason = cause instanceof Error && 'reason' in cause ? cause.reason : undefined;
  if (reason === undefined || reason === '') return unreachable(target, cause);
  const prohibited = reason === PROHIBITED;
  return new FlynnError({
    code: prohibited ? 'refused' : 'unreachable',
    message: `${describeTarget(target)} did not open ${what}: ${prohibited ? 'forwarding is forbidden' : 'the connection failed, or forwarding is forbidden'}`,
    hint: 'check AllowTcpForwarding, AllowStreamLocalForwarding and DisableForwarding in /etc/ssh/sshd_config of the host',
    cause,
  });
};
