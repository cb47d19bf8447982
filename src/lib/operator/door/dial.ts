// Streams to the door of a host: its socket where sshd and the socket's rights allow it, else a pipe into the agent's container.
import type { Duplex } from 'node:stream';
import { join } from 'node:path/posix';
import { doorSocket } from '../../api/door.js';
import { FlynnError, isFlynnError } from '../../api/errors.js';
import { hostPaths } from '../../appliance/config.js';
import type { Dial } from '../../docker/port.js';
import type { SshConnection } from '../../ssh/port.js';
import { agentContainer } from '../agent.js';

const socket = join(hostPaths.data, doorSocket);
const pipe = ['docker', 'exec', '-i', agentContainer, 'node', '/flynn/appliance.js', 'door'];

/** Opens streams to the door. What worked first is kept. */
export function doorDial(conn: SshConnection): Dial {
  let way: 'socket' | 'pipe' | undefined = conn.target.user === 'root' ? undefined : 'pipe';
  return async () => {
    if (way === 'pipe') return openPipe(conn);
    try {
      const stream = await conn.forwardUnix(socket);
      way = 'socket';
      return stream;
    } catch (error) {
      // Where forwarding is forbidden it always is; where nobody listens the pipe would say the same.
      if (way === 'socket' || !isFlynnError(error, 'refused')) throw error;
      way = 'pipe';
      return openPipe(conn);
    }
  };
}

async function openPipe(conn: SshConnection): Promise<Duplex> {
  const child = await conn.spawn(pipe, { sudo: true });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said = `${said}${chunk.toString('utf8')}`.slice(-500);
  });
  // HTTP would only say that the connection has ended; why, the command has said.
  void child.exit.then((code) => {
    if (code === 0 || code === null || child.destroyed) return;
    const words = said.trim().split('\n').at(-1) ?? '';
    child.destroy(
      new FlynnError({
        code: 'unreachable',
        message: `its agent cannot be reached: ${words || `code ${code}`}`,
      }),
    );
  });
  return child;
}
