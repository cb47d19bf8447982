// Which app a command is about: the flag, FLYNN_APP, or the git remote of the work tree it stands in.
import { FlynnError } from '../api/errors.js';
import { AppName } from '../api/names.js';
import { check } from './check.js';

/** Name of the git remote that links a work tree to an app. */
const defaultRemote = 'flynn';

/** Where an app's name may come from. */
export interface AppSources {
  flag?: string;
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  /** Name of the git remote. */
  remote?: string;
}

/** The app's name, validated. Throws `usage` when nothing names one. */
export async function findApp(sources: AppSources): Promise<string> {
  const named = sources.flag ?? sources.env.FLYNN_APP;
  if (named !== undefined && named !== '') return check(AppName, named, 'app', 'flynn apps   (lists them)');
  const remote = sources.remote ?? defaultRemote;
  const url = await remoteUrl(sources.cwd, remote);
  const app = url === undefined ? undefined : appOfUrl(url);
  if (app !== undefined)
    return check(AppName, app, `app of the git remote ${remote}`, 'name the app with -a APP');
  throw new FlynnError({
    code: 'usage',
    message: `no app was named, and there is no git remote '${remote}' here that leads to one`,
    hint: 'name it with -a APP, or set FLYNN_APP',
  });
}

/** The app that a git URL such as `ssh://git@host:2222/hello.git` leads to. */
export function appOfUrl(url: string): string | undefined {
  return /[/:]([^/:]+?)(?:\.git)?\/?$/.exec(url)?.[1];
}

/** URL of a git remote of the work tree at `cwd`; undefined when there is no work tree or no such remote. */
async function remoteUrl(cwd: string, remote: string): Promise<string | undefined> {
  const git = await gitAt(cwd);
  if (!git) return undefined;
  const remotes = await git.getRemotes(true);
  return remotes.find((each) => each.name === remote)?.refs.push;
}

/**
 * Points a git remote of the work tree at `cwd` to `url`. Returns what was done; `none` when there is no work tree.
 * A remote that leads elsewhere is left alone: `taken`.
 */
export async function setRemote(
  cwd: string,
  remote: string,
  url: string,
): Promise<'added' | 'same' | 'taken' | 'none'> {
  const git = await gitAt(cwd);
  if (!git) return 'none';
  const existing = await remoteUrl(cwd, remote);
  if (existing === url) return 'same';
  if (existing !== undefined) return 'taken';
  await git.addRemote(remote, url);
  return 'added';
}

/** Removes a git remote if it leads to `app`; true when it did. */
export async function dropRemote(cwd: string, remote: string, app: string): Promise<boolean> {
  const git = await gitAt(cwd);
  const existing = git && (await remoteUrl(cwd, remote));
  if (!git || existing === undefined || appOfUrl(existing) !== app) return false;
  await git.removeRemote(remote);
  return true;
}

async function gitAt(cwd: string) {
  const { simpleGit } = await import('simple-git');
  // GIT_* variables of the caller (a hook runs us) would point git at another repository, and simple-git refuses them.
  const git = simpleGit({ baseDir: cwd, timeout: { block: 5_000 } }).env({
    PATH: process.env.PATH ?? '/usr/bin:/bin',
    HOME: process.env.HOME ?? '/',
    LC_ALL: 'C',
  });
  try {
    return (await git.checkIsRepo()) ? git : undefined;
  } catch {
    // No git on this computer, or a directory that it does not trust: then no work tree names the app.
    return undefined;
  }
}
