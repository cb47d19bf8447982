// Connections to all hosts of an action at once, with every failure told, and the names the hosts get.
import { isIP } from 'node:net';
import { homedir, userInfo } from 'node:os';
import { FlynnError, toFlynnError } from '../api/errors.js';
import { HostName } from '../api/names.js';
import type { AuthOptions, SshConnection, SshTarget, UnknownHostKey } from '../ssh/port.js';
import type { OperatorPorts } from './ports.js';

/** How hosts are reached. */
export interface ReachOptions {
  /** ssh_config file; false reads none, absent the user's own. */
  sshConfig?: string | false;
  auth: AuthOptions;
  /** Accepted host key fingerprints (--host-key). */
  pinned: readonly string[];
  /** Asked about a host key that nobody knows; absent: it is refused. */
  confirmHostKey?(unknown: UnknownHostKey): Promise<boolean>;
}

/** A host that was named on the command line. */
export interface NamedTarget {
  target: SshTarget;
  /** Address behind an ssh_config alias, or the host as it was written. */
  address: string;
}

/** Reads `[name=]user@host[:port]…` and ssh_config aliases. Throws `usage` for bad or doubled ones. */
export async function readTargets(
  specs: readonly string[],
  sshConfig: ReachOptions['sshConfig'],
): Promise<NamedTarget[]> {
  const { loadConfig, resolveTarget } = await import('../ssh/index.js');
  const config = await loadConfig(sshConfig, { home: homedir(), localUser: userInfo().username });
  const targets: NamedTarget[] = [];
  for (const spec of specs) {
    const target = await resolveTarget(spec, { config, defaultUser: 'root' });
    const { hostName } = await config.lookup(target.host, target.user);
    targets.push({ target, address: hostName ?? target.host });
  }
  const seen = new Set<string>();
  for (const { target, address } of targets) {
    const key = `${address}:${target.port}`;
    if (seen.has(key)) throw new FlynnError({ code: 'usage', message: `${target.host} is named twice` });
    seen.add(key);
  }
  return targets;
}

/** Opens a connection to each target. Throws one error that names every host that could not be reached. */
export async function connectAll(
  ports: Pick<OperatorPorts, 'connector'>,
  targets: readonly { target: SshTarget; pinned?: readonly string[] }[],
  options: ReachOptions,
  signal: AbortSignal,
): Promise<SshConnection[]> {
  // Questions about host keys come one after the other, or two would share a terminal.
  let queue: Promise<unknown> = Promise.resolve();
  const ask = options.confirmHostKey;
  const confirm = ask
    ? (unknown: UnknownHostKey): Promise<boolean> => {
        const answer = queue.then(() => ask(unknown));
        queue = answer.catch(() => undefined);
        return answer;
      }
    : undefined;
  const results = await Promise.allSettled(
    targets.map(({ target, pinned = options.pinned }) =>
      ports.connector.connect(target, {
        auth: options.auth,
        ...(options.sshConfig === undefined ? {} : { sshConfig: options.sshConfig }),
        hostKeys: { ...(pinned.length > 0 ? { pinned } : {}), ...(confirm ? { confirm } : {}) },
        signal,
      }),
    ),
  );
  const open = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const failed = results.flatMap((result) =>
    result.status === 'rejected' ? [toFlynnError(result.reason)] : [],
  );
  const [first] = failed;
  if (!first) return open;
  await Promise.all(open.map((conn) => conn.close()));
  if (failed.length === 1) throw first;
  throw new FlynnError({
    code: first.code,
    message: `${failed.length} of ${targets.length} hosts cannot be used: ${failed.map((e) => e.message).join('; ')}`,
    ...(first.hint ? { hint: first.hint } : {}),
    cause: first,
  });
}

/** A word as a host name: lower case, other characters as hyphens, 30 characters; undefined when nothing is left. */
export function toHostName(text: string): string | undefined {
  const name = (text.split('.')[0] ?? '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, 30)
    .replace(/-+$/, '');
  return name === '' ? undefined : name;
}

/**
 * A name for each host: the given one, else the ssh_config alias, else what the host calls itself; a number is
 * added where two would be the same, or the same as one of `others`. Throws `invalid` for a given name that is none, `usage` for a doubled one.
 */
export function nameHosts(
  hosts: readonly { given?: string; host: string; address: string; hostname: string }[],
  others: readonly string[] = [],
): string[] {
  const taken = new Set<string>();
  for (const { given } of hosts) {
    if (given === undefined) continue;
    const checked = HostName.safeParse(given);
    if (!checked.success) {
      throw new FlynnError({
        code: 'invalid',
        message: `${given}: ${checked.error.issues[0]?.message ?? 'not a name'}`,
      });
    }
    if (taken.has(given)) throw new FlynnError({ code: 'usage', message: `two hosts are called ${given}` });
    taken.add(given);
  }
  for (const other of others) taken.add(other);
  return hosts.map(({ given, host, address, hostname }, index) => {
    if (given !== undefined) return given;
    const alias = host !== address && isIP(host) === 0 ? toHostName(host) : undefined;
    const base = alias ?? toHostName(hostname) ?? `host-${index + 1}`;
    let name = base;
    for (let n = 2; taken.has(name); n++) name = `${base.slice(0, 26)}-${n}`;
    taken.add(name);
    return name;
  });
}
