// From a cluster's name to a controller that answers: the one place where the way in is put together.
import { FlynnError } from '../api/errors.js';
import type { ControllerClient } from './controller.js';
import type { GatewayContext } from './context.js';

/** What the way in depends on. */
export interface AccessOptions {
  env: Readonly<Record<string, string | undefined>>;
  /** `--cluster`, when it was given. */
  cluster?: string;
}

/** A way into one cluster; closed by whoever opened it. */
export interface Access {
  context: GatewayContext;
  controller: ControllerClient;
  /** Ends its connection. */
  close(): Promise<void>;
}

/** Makes an `Access`; commands have it as a port, tests hand in their own. */
export type OpenAccess = (options: AccessOptions) => Promise<Access>;

/** Time that the controller has for one answer, ms. */
const answerMs = 10_000;

/**
 * Finds the cluster and prepares the way to its controller; nothing is connected before the first call.
 * Throws `missing` when no cluster is known here, `not_found` for an unknown name, `invalid` for a string that cannot be read.
 */
export const openAccess: OpenAccess = async ({ env, cluster }) => {
  const [
    { chooseCluster },
    { flynnHome },
    { createConnector },
    { HttpClient },
    agents,
    gateways,
    controllers,
    { systemClock },
  ] = await Promise.all([
    import('../operator/context.js'),
    import('../operator/local-files.js'),
    import('../ssh/index.js'),
    import('../api/http.js'),
    import('./channel-agent.js'),
    import('./gateway.js'),
    import('./controller.js'),
    import('../util/clock.js'),
  ]);
  const home = flynnHome(env);
  const context: GatewayContext = await chooseCluster({ home, env, ...(cluster ? { flag: cluster } : {}) });
  const gateway = new gateways.GatewayConnection({
    context,
    connector: createConnector(env.SSH_AUTH_SOCK ? { agentSocket: env.SSH_AUTH_SOCK } : {}),
    auth: keysFrom(env, context),
    clock: systemClock,
  });
  const agent = new agents.ChannelAgent(async () => {
    const connection = await gateway.connection();
    const channel = await connection.spawn(['flynn-api']);
    channel.stderr.resume();
    return channel;
  });
  return {
    context,
    controller: new controllers.ControllerClient(
      new HttpClient({ baseUrl: `http://${context.name}`, agent, timeoutMs: answerMs }),
    ),
    close: async () => {
      agent.destroy();
      await gateway.close();
    },
  };
};

/** The keys to offer: FLYNN_SSH_KEY alone when it is set, else the cluster's own, the agent's and the default ones. */
export function keysFrom(env: AccessOptions['env'], context: Pick<GatewayContext, 'identity'>) {
  const text = env.FLYNN_SSH_KEY;
  if (text !== undefined && text.trim() !== '') {
    if (!text.includes('PRIVATE KEY')) {
      throw new FlynnError({
        code: 'usage',
        message: 'FLYNN_SSH_KEY is not the text of a private key',
        hint: 'FLYNN_SSH_KEY="$(cat ~/.ssh/id_ed25519)"',
      });
    }
    // CI systems store secrets with `\n` spelled out, or without the newline at the end.
    const key = `${text.replaceAll('\\n', '\n').trim()}\n`;
    return { keyTexts: [key], agent: false as const, defaultIdentities: false };
  }
  return {
    ...(context.identity ? { identityFiles: [context.identity] } : {}),
    defaultIdentities: true,
  };
}
