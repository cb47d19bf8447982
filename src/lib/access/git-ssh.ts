// Git's way to a cluster: any live gateway, the pinned host key, our keys; and plain ssh for everybody else's hosts.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { FlynnError, isFlynnError } from '../api/errors.js';
import type { ClusterAccess } from '../operator/context.js';
import { leadsTo, pushArgv, type SshRequest } from './git-command.js';
import type { PipeEnds } from './git-pipe.js';

/** What finding the cluster depends on. */
export interface GitSshOptions {
  env: Readonly<Record<string, string | undefined>>;
  /** `--cluster`, when it was given. */
  cluster?: string;
}

/**
 * The cluster whose gateway a request names: `--cluster` first, then FLYNN_CLUSTER, then all that are known here (a
 * work tree may have remotes of several). Undefined when it is none's.
 */
export async function clusterFor(
  request: SshRequest,
  { env, cluster }: GitSshOptions,
): Promise<ClusterAccess | undefined> {
  const [{ chooseCluster, loadClusters }, { flynnHome }] = await Promise.all([
    import('../operator/context.js'),
    import('../operator/local-files.js'),
  ]);
  const home = flynnHome(env);
  for (const flag of [cluster, env.FLYNN_CLUSTER]) {
    if (!flag) continue;
    const known = await chooseCluster({ home, env: {}, flag }).catch((error: unknown) => {
      // A name that was forgotten since: another one may still lead there.
      if (isFlynnError(error, 'not_found')) return undefined;
      throw error;
    });
    if (known && leadsTo(known.gateways, request)) return known;
  }
  const { clusters } = await loadClusters(home);
  const found = Object.values(clusters).find((each) => leadsTo(each.gateways, request));
  return found && chooseCluster({ home, env: {}, flag: found.name });
}

/** Runs git's command on whichever gateway of the cluster answers first; its exit code. Throws as the way in does. */
export async function runOnGateway(
  context: ClusterAccess,
  request: SshRequest,
  env: GitSshOptions['env'],
  ends: PipeEnds,
): Promise<number> {
  const argv = pushArgv(request.command);
  const [{ GatewayConnection }, { keysFrom }, { createConnector }, { systemClock }, { pipeProcess }] =
    await Promise.all([
      import('./gateway.js'),
      import('./open.js'),
      import('../ssh/index.js'),
      import('../util/clock.js'),
      import('./git-pipe.js'),
    ]);
  const gateway = new GatewayConnection({
    context,
    connector: createConnector(env.SSH_AUTH_SOCK ? { agentSocket: env.SSH_AUTH_SOCK } : {}),
    auth: keysFrom(env, context),
    clock: systemClock,
  });
  try {
    const connection = await gateway.connection();
    const code = await pipeProcess(await connection.spawn(argv), ends);
    if (code !== undefined) return code;
    throw new FlynnError({
      code: 'unreachable',
      message: `the gateway ${connection.target.host} was lost in the middle of the push`,
      hint: 'push again: another gateway takes it',
    });
  } finally {
    await gateway.close();
  }
}

/** Runs the plain ssh in our place; its exit code. Throws `missing` when there is none. */
export function runPlainSsh(argv: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn('ssh', [...argv], { stdio: 'inherit' });
    child.once('error', (cause) =>
      reject(new FlynnError({ code: 'missing', message: `ssh cannot be started: ${cause.message}`, cause })),
    );
    child.once('close', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)));
  });
}
