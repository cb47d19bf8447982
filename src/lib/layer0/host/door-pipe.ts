// The door over a process's pipes, for operators whom sshd lets forward no socket: `docker exec -i flynn-host … door`.
import { createConnection } from 'node:net';
import { pipeline } from 'node:stream';
import { doorPath } from './door-path.js';

/** Joins stdin and stdout with the door's socket; resolves when either side has ended. The code is 1 where there is no door. */
export const runDoorPipe = (): Promise<void> =>
  new Promise((resolve) => {
    const path = doorPath();
    const socket = createConnection({ path });
    socket.once('error', (error) => {
      process.stderr.write(`${path}: ${error.message}\n`);
      process.exitCode = 1;
      process.stdin.destroy();
      resolve();
    });
    socket.once('connect', () => {
      pipeline(process.stdin, socket, () => undefined);
      pipeline(socket, process.stdout, () => {
        process.stdin.destroy();
        resolve();
      });
    });
  });
