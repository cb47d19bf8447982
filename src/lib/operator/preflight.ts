// Collects what the verdict needs: facts of every host, and who reaches whom.
import { FlynnError } from '../api/errors.js';
import type { SshConnection } from '../ssh/port.js';
import { candidates, chooseAddresses, reachScript, type AddressChoice, type Reach } from './addresses.js';
import { factsScript, parseFacts, type HostFacts } from './facts.js';

/** Facts of one host and how far its clock is ahead of ours, ms. */
export async function collectFacts(
  conn: SshConnection,
  now: () => number,
  signal: AbortSignal,
): Promise<{ facts: HostFacts; skewMs: number }> {
  let arrived = now();
  let first = true;
  const result = await conn.exec(['sh', '-c', factsScript], {
    timeoutMs: 60_000,
    signal,
    // The clock is the first line: what the rest of the script takes must not count as skew.
    onStdout: () => {
      if (first) arrived = now();
      first = false;
    },
  });
  try {
    const facts = parseFacts(result.stdout);
    return { facts, skewMs: facts.clock === 0 ? 0 : facts.clock - arrived };
  } catch (cause) {
    throw new FlynnError({
      code: 'failed',
      message: `${conn.target.host} did not answer the preflight script: ${result.stderr.trim().split('\n').at(-1) || 'it ended early'}`,
      cause,
    });
  }
}

/** A host whose way to the others is looked for. */
export interface ProbeHost {
  name: string;
  conn: SshConnection;
  facts: HostFacts;
  /** --internal-address. */
  given?: string;
}

/** Tries every address of every host from every other, and chooses one per host. */
export async function findAddresses(
  hosts: readonly ProbeHost[],
  signal: AbortSignal,
): Promise<AddressChoice[]> {
  const known = hosts.map((host) => ({
    name: host.name,
    candidates: candidates(host.facts.addresses),
    ...(host.given === undefined ? {} : { given: host.given }),
  }));
  const reach = new Map<string, Set<string>>();
  await Promise.all(
    hosts.map(async (host) => {
      const pairs = hosts
        .filter((other) => other !== host)
        .flatMap((other) => {
          const addresses = other.given === undefined ? candidates(other.facts.addresses) : [other.given];
          return addresses.flatMap((address) => [String(other.facts.ssh.port), address]);
        });
      const answer =
        pairs.length === 0
          ? ''
          : (
              await host.conn.exec(['sh', '-c', reachScript, 'reach', ...pairs], {
                timeoutMs: 60_000,
                signal,
              })
            ).stdout;
      reach.set(host.name, new Set(answer.split('\n').filter((line) => line !== '')));
    }),
  );
  return chooseAddresses(known, reach satisfies Reach);
}
