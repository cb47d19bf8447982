// Programs of this machine that the lab needs, and their Debian packages.
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { run } from './process.js';
import type { LabReport } from './types.js';

/** Path of a program in PATH or the system's own directories, or undefined. */
export const which = async (program: string): Promise<string | undefined> => {
  const dirs = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  for (const dir of dirs.filter(Boolean)) {
    const file = join(dir, program);
    const found = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return file;
  }
  return undefined;
};

/** True when packages can be installed: root on a Debian. */
export const canInstall = async (): Promise<boolean> =>
  process.getuid?.() === 0 && (await which('apt-get')) !== undefined;

/** The packages of the given programs that are not on this machine. */
export const missingPackages = async (programs: Readonly<Record<string, string>>): Promise<string[]> => {
  const found = await Promise.all(
    Object.entries(programs).map(async ([program, name]) => ((await which(program)) ? undefined : name)),
  );
  return found.filter((name): name is string => name !== undefined);
};

/** Installs Debian packages, saying so first. Throws `failed` with apt's last lines. */
export const install = async (
  packages: readonly string[],
  report: LabReport,
  signal?: AbortSignal,
): Promise<void> => {
  if (packages.length === 0) return;
  report({ code: 'engine.install', message: `installing Debian packages: ${packages.join(' ')}` });
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const lock = ['-o', 'DPkg::Lock::Timeout=60'];
  await run('apt-get', [...lock, 'update', '-qq'], { env, signal, timeoutMs: 180_000 });
  const flags = ['install', '-y', '-qq', '--no-install-recommends'];
  await run('apt-get', [...lock, ...flags, ...packages], { env, signal, timeoutMs: 600_000 });
};
