// Steps on one host: Docker itself, its settings, directories and files. Each looks first and does only what is missing.
import { createHash } from 'node:crypto';
import { FlynnError } from '../api/errors.js';
import { hostPaths } from '../appliance/config.js';
import type { Docker } from '../docker/port.js';
import type { SshConnection } from '../ssh/port.js';
import type { Clock } from '../util/clock.js';
import { poll } from '../util/retry.js';
import { mergeDaemonJson } from './daemon-json.js';
import type { DirSpec, FileSpec } from './host-files.js';
import { limiter } from './limiter.js';
import { run } from './links.js';

const minute = 60_000;
/** Files written at once: each takes a session of the connection, and sshd allows ten. */
const parallelWrites = 3;
const daemonJson = '/etc/docker/daemon.json';
/** What daemon.json was before us, so that `destroy` can put it back; the second stands for "there was none". */
export const daemonBackup = {
  file: `${hostPaths.config}/daemon.json.before`,
  absent: `${hostPaths.config}/daemon.json.absent`,
} as const;

/** Resolves when the engine answers; throws `unreachable` when it has not within `ms`. */
export async function waitForDocker(
  docker: Docker,
  clock: Clock,
  ms: number,
  signal?: AbortSignal,
): Promise<void> {
  const end = clock.mono() + ms;
  for (;;) {
    try {
      return await docker.ping({ timeoutMs: 5_000, signal });
    } catch (cause) {
      signal?.throwIfAborted();
      if (clock.mono() >= end) {
        throw new FlynnError({
          code: 'unreachable',
          message: `its Docker engine did not answer within ${ms / 1000} s`,
          hint: 'journalctl -u docker -n 50   (on the host)',
          cause,
        });
      }
    }
    await clock.sleep(300, signal);
  }
}

/** Whether a Docker engine is installed. Only root has the system directories on its path everywhere. */
export async function hasDocker(conn: SshConnection, signal: AbortSignal): Promise<boolean> {
  const find = 'PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; command -v dockerd && command -v docker';
  return (await conn.exec(['sh', '-c', find], { signal })).code === 0;
}

/** Installs the distribution's Docker unless the engine answers already. */
export async function installDocker(
  conn: SshConnection,
  docker: Docker,
  clock: Clock,
  progress: (text: string) => void,
  signal: AbortSignal,
): Promise<boolean> {
  if (await hasDocker(conn, signal)) {
    await waitForDocker(docker, clock, minute, signal);
    return false;
  }
  const apt = (...args: string[]): string[] => [
    'env',
    'DEBIAN_FRONTEND=noninteractive',
    'apt-get',
    '-o',
    'DPkg::Lock::Timeout=120',
    ...args,
  ];
  progress('apt-get update');
  await run(conn, apt('update'), { timeoutMs: 5 * minute, signal });
  progress('apt-get install docker.io iptables');
  await run(conn, apt('install', '-y', '--no-install-recommends', 'docker.io', 'iptables'), {
    timeoutMs: 15 * minute,
    signal,
  });
  // Where there is no service manager, whoever supervises the host starts it.
  await run(conn, ['sh', '-c', '[ ! -d /run/systemd/system ] || systemctl enable --now docker'], { signal });
  await waitForDocker(docker, clock, minute, signal);
  return true;
}

/** Has dockerd read daemon.json again, without a restart; works without a service manager. */
export async function reloadDockerd(conn: SshConnection, signal: AbortSignal): Promise<void> {
  await run(conn, ['sh', '-c', 'kill -HUP "$(cat /var/run/docker.pid 2>/dev/null || pidof dockerd)"'], {
    signal,
  });
}

/** Merges live-restore into daemon.json and has dockerd read it again. Never restarts it: that would stop containers. */
export async function configureDocker(
  conn: SshConnection,
  docker: Docker,
  clock: Clock,
  signal: AbortSignal,
): Promise<boolean> {
  const read = await conn.exec(['cat', daemonJson], { sudo: true, signal });
  const before = read.code === 0 ? read.stdout : undefined;
  const merged = mergeDaemonJson(before);
  if (!merged.changed && (await docker.info({ signal })).liveRestore) return false;
  if (merged.changed) {
    await run(conn, ['mkdir', '-p', hostPaths.config, '/etc/docker'], { signal });
    await conn.writeFile(before === undefined ? daemonBackup.absent : daemonBackup.file, before ?? '', {
      sudo: true,
      signal,
    });
    await conn.writeFile(daemonJson, merged.text, { sudo: true, signal });
  }
  await reloadDockerd(conn, signal);
  await poll(clock, async () => ((await docker.info({ signal })).liveRestore ? true : undefined), {
    timeoutMs: 10_000,
    intervalMs: 100,
    signal,
    what: 'live-restore',
  }).catch((cause: unknown) => {
    throw new FlynnError({
      code: 'failed',
      message: 'dockerd did not take over live-restore',
      hint: `look for a --live-restore flag of dockerd that contradicts ${daemonJson}`,
      cause,
    });
  });
  return true;
}

/** Makes directories and writes the files whose content or mode differs. False when everything was there. */
export async function writeFiles(
  conn: SshConnection,
  dirs: readonly DirSpec[],
  files: readonly FileSpec[],
  signal: AbortSignal,
): Promise<boolean> {
  const there = await conn.exec(
    ['sh', '-c', stateScript, 'state', ...[...dirs, ...files].map((f) => f.path)],
    {
      sudo: true,
      signal,
    },
  );
  const state = new Set(there.stdout.split('\n').filter((line) => line !== ''));
  const lackedDirs = dirs.filter((dir) => !state.has(`dir ${dir.mode.toString(8)} ${dir.path}`));
  const lackedFiles = files.filter((file) => {
    const hash = createHash('sha256').update(file.content).digest('hex');
    return !state.has(`${hash} ${file.mode.toString(8)} ${file.path}`);
  });
  for (const mode of new Set(lackedDirs.map((dir) => dir.mode))) {
    const paths = lackedDirs.filter((dir) => dir.mode === mode).map((dir) => dir.path);
    await run(conn, ['install', '-d', '-m', mode.toString(8), ...paths], { signal });
  }
  // The last one (host.json) tells others that the rest is there.
  const last = lackedFiles.filter((file) => file === files.at(-1));
  const first = lackedFiles.filter((file) => file !== files.at(-1));
  const write = (file: FileSpec): Promise<void> =>
    conn.writeFile(file.path, file.content, { mode: file.mode, sudo: true, signal });
  const turn = limiter(parallelWrites);
  await Promise.all(first.map((file) => turn(() => write(file))));
  for (const file of last) await write(file);
  return lackedDirs.length + lackedFiles.length > 0;
}

/** Prints `HASH MODE PATH` of every file and `dir MODE PATH` of every directory among its arguments that exists. */
const stateScript = String.raw`
for f in "$@"; do
  if [ -d "$f" ]; then printf 'dir %s %s\n' "$(stat -c %a "$f")" "$f"
  elif [ -f "$f" ]; then printf '%s %s %s\n' "$(sha256sum < "$f" | cut -d' ' -f1)" "$(stat -c %a "$f")" "$f"; fi
done
exit 0
`;
