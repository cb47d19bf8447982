// sdutil: from its command line to what it does, and to its exit code.
import { FlynnError, toFlynnError } from '../../api/errors.js';
import { bracketHost } from '../../util/address.js';
import { parseArgs, usage, type Order } from './args.js';
import { notRun, NotRunError, type Ended } from './child.js';
import { DiscoveryClient, endpointOf } from './client.js';
import { configure } from './configure.js';
import { endLike, execRegistered, registerUntilTold, tell } from './exec.js';
import { expose } from './expose.js';

/** How long (ms) a lookup may take, as in the original. */
const lookupMs = 1_000;

/** Does what the command line says; sets the exit code. */
export const main = async (words: readonly string[], env: NodeJS.ProcessEnv): Promise<void> => {
  try {
    await carryOut(parseArgs(words), env);
  } catch (thrown) {
    const error = toFlynnError(thrown);
    tell(error);
    process.exitCode = error.exitCode;
  }
};

const carryOut = async (order: Order, env: NodeJS.ProcessEnv): Promise<void> => {
  if (order.do === 'help') return void process.stdout.write(usage);
  const client = new DiscoveryClient(endpointOf(env));
  switch (order.do) {
    case 'check':
      return check(client, order.silent);
    case 'services':
      return services(client, order.name, order.oldest);
    case 'register':
      process.exitCode = await registerUntilTold({ client, ...order });
      return;
    case 'exec':
      return ranAs(execRegistered({ client, ...order, env }));
    case 'expose':
      return ranAs(expose({ client, ...order, env }));
    case 'configure':
      return ranAs(configure({ client, ...order, env }));
  }
};

/** Ends as the program did; one that could not be run is told as a shell tells it. */
const ranAs = async (run: Promise<Ended>): Promise<void> => {
  try {
    endLike(await run);
  } catch (error) {
    if (!(error instanceof NotRunError)) throw error;
    tell(error);
    process.exitCode = notRun(error);
  }
};

const check = async (client: DiscoveryClient, silent: boolean): Promise<void> => {
  try {
    const { services } = await client.services(lookupMs);
    if (!silent) process.stdout.write(`discovery at ${client.where} answers: ${services.length} services\n`);
  } catch (thrown) {
    const error = toFlynnError(thrown);
    if (!silent) tell(error);
    process.exitCode = error.exitCode;
  }
};

const services = async (
  client: DiscoveryClient,
  name: string | undefined,
  oldest: boolean,
): Promise<void> => {
  if (name === undefined) {
    const all = await client.services(lookupMs);
    process.stdout.write(all.services.map((service) => `${service.name}\n`).join(''));
    return;
  }
  const { instances } = await client.service(name, lookupMs);
  if (instances.length === 0) {
    throw new FlynnError({ code: 'not_found', message: `no instance of ${name} is registered` });
  }
  const shown = oldest ? instances.slice(0, 1) : instances;
  process.stdout.write(shown.map(({ address, port }) => `${bracketHost(address)}:${port}\n`).join(''));
};
