// What the operator's actions need from outside, and the factory that wires the real things.
import { lookup, Resolver } from 'node:dns/promises';
import type { Dial, Docker } from '../docker/port.js';
import type { SshConnector } from '../ssh/port.js';
import { systemClock, type Clock } from '../util/clock.js';
import { cryptoRng, type Rng } from '../util/rng.js';
import { silentOperatorReporter, type OperatorReporter } from './events.js';

/** The world as an action sees it. */
export interface OperatorPorts {
  connector: SshConnector;
  /** Docker over a way to its socket. */
  openDocker(dial: Dial): Promise<Docker>;
  /** Addresses a name resolves to; none when it does not, or not in time. */
  resolve(name: string): Promise<string[]>;
  clock: Clock;
  rng: Rng;
  reporter: OperatorReporter;
  /** FLYNN_HOME. */
  home: string;
}

const dnsMs = 2_000;

/** Addresses of a domain by DNS, both families; none within two seconds means none. */
async function resolveDomain(name: string): Promise<string[]> {
  const resolver = new Resolver({ timeout: dnsMs / 2, tries: 2 });
  const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  if (found.length > 0) return found;
  // Names of /etc/hosts and of local networks are known to the system alone.
  return lookup(name, { all: true }).then(
    (all) => all.map((entry) => entry.address),
    () => [],
  );
}

/** The real world. Adapters are loaded here, on demand: ssh2 and dockerode cost 130 ms at start. */
export async function systemPorts(options: {
  home: string;
  reporter?: OperatorReporter;
  agentSocket?: string;
}): Promise<OperatorPorts> {
  const { createConnector } = await import('../ssh/index.js');
  return {
    connector: createConnector(options.agentSocket ? { agentSocket: options.agentSocket } : {}),
    openDocker: async (dial) => (await import('../docker/index.js')).openDocker({ dial }),
    resolve: resolveDomain,
    clock: systemClock,
    rng: cryptoRng,
    reporter: options.reporter ?? silentOperatorReporter,
    home: options.home,
  };
}
