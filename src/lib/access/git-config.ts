// A work tree's own git configuration: which program git takes for ssh.
import { execFile } from 'node:child_process';
import { quoteArg } from '../util/quote.js';

/** What became of the setting; `kept`: the user has one of their own, `none`: there is no work tree. */
export type SshCommandChange = 'set' | 'same' | 'kept' | 'none';

/** How git is to call us. */
export interface SshCommandOptions {
  node: string;
  /** Path of our bin/run.js. */
  script: string;
  /** Name of a cluster, or the string that stands for one. */
  cluster: string;
  /** FLYNN_HOME, when it is not the default. */
  home?: string;
}

/** By this a command of ours is told from the user's own. */
const ours = ' git-ssh --cluster ';

/** The value of `core.sshCommand`, which git runs through a shell. */
export function sshCommand({ node, script, cluster, home }: SshCommandOptions): string {
  const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;
  const place = home === undefined ? '' : `env FLYNN_HOME=${quoted(home)} `;
  return `${place}${quoted(node)} ${quoted(script)}${ours}${quoteArg(cluster)}`;
}

/** Has git in the work tree at `cwd` call `command` for ssh, unless its user has set something else. */
export async function setSshCommand(cwd: string, command: string): Promise<SshCommandChange> {
  const inside = await git(cwd, ['rev-parse', '--git-dir']);
  if (inside === undefined) return 'none';
  const existing = await git(cwd, ['config', '--get', 'core.sshCommand']);
  if (existing !== undefined && !existing.includes(ours)) return 'kept';
  if (
    existing !== command &&
    (await git(cwd, ['config', '--local', 'core.sshCommand', command])) === undefined
  )
    return 'none';
  // Git would find out by calling us once more each time.
  if ((await git(cwd, ['config', '--get', 'ssh.variant'])) === undefined)
    await git(cwd, ['config', '--local', 'ssh.variant', 'ssh']);
  return existing === command ? 'same' : 'set';
}

/** Output of git, without its last line feed; undefined when it fails: no git, no work tree, no such setting. */
function git(cwd: string, args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(
      'git',
      [...args],
      {
        cwd,
        timeout: 5_000,
        // GIT_* variables of the caller (a hook runs us) would point git at another repository.
        env: {
          PATH: process.env.PATH ?? '/usr/bin:/bin',
          HOME: process.env.HOME ?? '/',
          LC_ALL: 'C',
          ...(process.env.XDG_CONFIG_HOME ? { XDG_CONFIG_HOME: process.env.XDG_CONFIG_HOME } : {}),
        },
      },
      (error, stdout) => resolve(error ? undefined : stdout.replace(/\n$/, '')),
    );
  });
}
