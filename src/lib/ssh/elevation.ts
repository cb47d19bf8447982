// What the login user of a host may do as root.
import type { Elevation, SshConnection } from './port.js';

/** `root` when the user is root, `sudo` when `sudo -n` works without a password, `none` otherwise. */
export const elevation = async (conn: SshConnection): Promise<Elevation> => {
  const id = await conn.exec(['id', '-u'], { timeoutMs: 15_000 });
  if (id.code === 0 && id.stdout.trim() === '0') return 'root';
  const sudo = await conn.exec(['sudo', '-n', 'true'], { timeoutMs: 15_000 });
  return sudo.code === 0 ? 'sudo' : 'none';
};
