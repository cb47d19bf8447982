// A look at hosts before anything is changed: their facts and names, a verdict that stops, and the way to their engines.
import { isIP } from 'node:net';
import { FlynnError, toFlynnError } from '../api/errors.js';
import type { SshConnection, SshTarget } from '../ssh/port.js';
import type { Looked } from './cluster-record.js';
import { connectAll, nameHosts, type NamedTarget, type ReachOptions } from './connect.js';
import type { Finding } from './judge.js';
import type { ClusterJournal } from './journal.js';
import { dockerDial, type HostLink } from './links.js';
import type { OperatorPorts } from './ports.js';
import { collectFacts } from './preflight.js';

/** The host key that a target is known by, if the journal knows it. */
export function pinOf(
  journal: ClusterJournal | undefined,
  target: Pick<SshTarget, 'host' | 'port'>,
): { pinned?: string[] } {
  const host = journal?.hosts.find((h) => h.target.host === target.host && h.target.port === target.port);
  return host ? { pinned: [host.hostKey] } : {};
}

/**
 * Collects the facts of connected hosts and names them: as on the command line, as before, or as they call
 * themselves. A name that is made up is none of a host of the journal that was not named.
 */
export async function lookAt(
  ports: OperatorPorts,
  targets: readonly NamedTarget[],
  conns: readonly SshConnection[],
  journal: ClusterJournal | undefined,
  signal: AbortSignal,
): Promise<Looked[]> {
  const facts = await Promise.all(conns.map((conn) => collectFacts(conn, () => ports.clock.now(), signal)));
  const names = nameHosts(
    targets.map(({ target, address }, i) => {
      const before = journal?.hosts.find((h) => h.hostKey === conns[i]?.hostKey.fingerprint);
      const name = target.name ?? before?.name;
      return {
        host: target.host,
        address,
        hostname: facts[i]?.facts.hostname ?? '',
        ...(name ? { given: name } : {}),
      };
    }),
    journal?.hosts.map((h) => h.name),
  );
  return Promise.all(
    targets.map(async (named, i) => {
      const [conn, fact, name] = [conns[i], facts[i], names[i]];
      if (!conn || !fact || !name) throw new Error('a host was lost on the way');
      const resolved = isIP(named.address) ? [] : await ports.resolve(named.address);
      return {
        named,
        conn,
        report: { name, ...fact },
        publicAddress: isIP(named.address)
          ? named.address
          : (resolved[0] ?? fact.facts.ssh.address ?? named.address),
      };
    }),
  );
}

/** Throws `missing` with every error among the findings; warnings and notes pass. */
export function refuse(findings: readonly Finding[]): void {
  const errors = findings.filter((finding) => finding.level === 'error');
  const [first] = errors;
  if (!first) return;
  const text = (finding: Finding): string => `${finding.host ? `${finding.host}: ` : ''}${finding.message}`;
  throw new FlynnError({
    code: 'missing',
    message: `nothing was changed: ${errors.map(text).join('; ')}`,
    ...(first.hint ? { hint: first.hint } : {}),
  });
}

/** Opens the engines of hosts that were looked at; whoever asks closes them. */
export async function linkAll(
  ports: OperatorPorts,
  looked: readonly Looked[],
): Promise<Map<string, HostLink>> {
  const links = new Map<string, HostLink>();
  for (const { conn, report } of looked) {
    links.set(report.name, { name: report.name, conn, docker: await ports.openDocker(dockerDial(conn)) });
  }
  return links;
}

/**
 * Connects to the hosts of a cluster that were not named and looks at them. One that is away is a warning: a host
 * must be able to join while another one is lost.
 */
export async function connectOthers(
  ports: OperatorPorts,
  journal: ClusterJournal,
  named: ReadonlySet<string>,
  reach: ReachOptions,
  signal: AbortSignal,
): Promise<{ looked: Looked[]; findings: Finding[] }> {
  const looked: Looked[] = [];
  const findings: Finding[] = [];
  await Promise.all(
    journal.hosts
      .filter((host) => !named.has(host.name))
      .map(async ({ name, target: { host, port, user }, hostKey, publicAddress }) => {
        const target = { host, port, user, name };
        let conn: SshConnection | undefined;
        try {
          [conn] = await connectAll(ports, [{ target, pinned: [hostKey] }], reach, signal);
          if (!conn) return;
          const facts = await collectFacts(conn, () => ports.clock.now(), signal);
          looked.push({ named: { target, address: host }, conn, report: { name, ...facts }, publicAddress });
        } catch (error) {
          await conn?.close();
          signal.throwIfAborted();
          findings.push({
            code: 'away',
            level: 'warning',
            host: name,
            message: `it is left out: ${toFlynnError(error).message}`,
          });
        }
      }),
  );
  const order = journal.hosts.map((host) => host.name);
  looked.sort((a, b) => order.indexOf(a.report.name) - order.indexOf(b.report.name));
  return { looked, findings };
}
