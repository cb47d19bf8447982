// One connection to each host, with Docker over it, and commands that must succeed.
import type { Duplex } from 'node:stream';
import { FlynnError, isFlynnError } from '../api/errors.js';
import type { Dial, Docker } from '../docker/port.js';
import type { ExecOptions, SshConnection } from '../ssh/port.js';

/** A host as operations use it. */
export interface HostLink {
  name: string;
  conn: SshConnection;
  docker: Docker;
}

const socket = '/var/run/docker.sock';

/**
 * Opens streams to the host's Docker engine: a stream-local channel where sshd and the socket's rights allow it, else
 * `docker system dial-stdio` through sudo. What worked first is kept.
 */
export function dockerDial(conn: SshConnection): Dial {
  let way: 'socket' | 'stdio' | undefined;
  const stdio = async (): Promise<Duplex> => {
    const child = await conn.spawn(['docker', 'system', 'dial-stdio'], { sudo: true });
    // An unread stderr would stall it.
    child.stderr.resume();
    return child;
  };
  return async () => {
    if (way === 'stdio' || (way === undefined && conn.target.user !== 'root')) {
      way = 'stdio';
      return stdio();
    }
    try {
      const stream = await conn.forwardUnix(socket);
      way = 'socket';
      return stream;
    } catch (error) {
      if (way === 'socket' || !isFlynnError(error, 'refused')) throw error;
      way = 'stdio';
      return stdio();
    }
  };
}

/** Runs a command as root and returns its output; throws `failed` with its last words when it does not end with 0. */
export async function run(
  conn: SshConnection,
  argv: readonly string[],
  opts: ExecOptions = {},
): Promise<string> {
  const result = await conn.exec(argv, { sudo: true, ...opts });
  if (result.code === 0) return result.stdout;
  const said = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-5).join(' / ');
  throw new FlynnError({
    code: 'failed',
    message: `${argv[0]} ended with ${result.code ?? result.signal ?? 'no code'}: ${said || 'it said nothing'}`,
  });
}
