// `sdutil expose`: a program that runs while all services that it needs are there, with their addresses in its environment.
import { bracketHost } from '../../util/address.js';
import { systemClock as clock } from '../../util/clock.js';
import type { Need } from './args.js';
import type { Ended } from './child.js';
import type { DiscoveryClient } from './client.js';
import { followServices, settleMs, type Views } from './follow.js';
import { sayOnce } from './keep.js';
import { rerunner, type Surroundings } from './rerun.js';

/** What `expose` is made of. */
export interface ExposeOptions {
  client: DiscoveryClient;
  needs: readonly Need[];
  argv: readonly string[];
  env: NodeJS.ProcessEnv;
}

/** The addresses of all leaders as variables; undefined while one of the services has none. Pure. */
export const addressesOf = (needs: readonly Need[], views: Views): Record<string, string> | undefined => {
  const found: Record<string, string> = {};
  for (const { env, service } of needs) {
    const leader = views.get(service)?.leader;
    if (!leader) return undefined;
    found[env] = `${bracketHost(leader.address)}:${leader.port}`;
  }
  return found;
};

/** Names of the services that have no leader. Pure. */
const missing = (needs: readonly Need[], views: Views): string[] =>
  needs.map(({ service }) => service).filter((service) => !views.get(service)?.leader);

/** Runs the program as long as its services are there; resolves with its own end. */
export const expose = async (options: ExposeOptions): Promise<Ended> => {
  const { client, needs, argv, env } = options;
  const say = sayOnce((text) => void process.stderr.write(text));
  const program = rerunner(argv, clock);
  const over = new AbortController();
  let cancel = (): void => undefined;
  const changed = (views: Views): void => {
    const found = addressesOf(needs, views);
    if (!found) say(`waits for ${missing(needs, views).join(', ')}`);
    const next: Surroundings | undefined = found && {
      id: JSON.stringify(found),
      env: { ...env, ...found },
    };
    cancel();
    cancel = clock.after(settleMs, () => program.set(next));
  };
  try {
    const followed = followServices(
      { client, clock, say },
      needs.map(({ service }) => service),
      changed,
      over.signal,
    );
    return await Promise.race([program.ended, followed.then(() => program.ended)]);
  } finally {
    cancel();
    over.abort();
    program.close();
  }
};
