// Bare repositories as a cache: they save the pusher from sending everything, and may be lost at any time.
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../../util/clock.js';
import type { Log } from '../../../util/log.js';
import { git } from './run.js';
import { deployBranches } from './updates.js';

/** A repository that is larger after its clean-up is dropped: KiB. */
const largestKiB = 512 * 1024;
/** A repository that nobody pushed to for so long is dropped, ms. */
const unusedMs = 30 * 24 * 3_600_000;
const tidyMs = 60_000;
/** Holds the id of the app that a repository belongs to; its time is that of the last push. */
const marker = 'flynn-app';
/** Where the objects of branches that were set aside stay reachable. */
const aside = 'refs/flynn/';

/** The app that a repository is for, as the controller knows it. */
export interface RepoOf {
  name: string;
  id: string;
  /** Commit of the release that the app runs. */
  commit?: string;
}

/** The repositories of one gateway. Calls for one app must not overlap. */
export class Repos {
  constructor(
    private readonly root: string,
    private readonly options: { clock: Pick<Clock, 'now'>; log: Log },
  ) {}

  /**
   * Path of the app's repository, whose branches stand at what the app runs now: so "everything up-to-date" and
   * "non-fast-forward" are true of the app, whichever gateway took the pushes before. Made when there is none.
   */
  async open(app: RepoOf): Promise<string> {
    const path = join(this.root, `${app.name}.git`);
    try {
      const owner = await readFile(join(path, marker), 'utf8');
      // An app of the same name that was destroyed since: nothing of it may show.
      if (owner === app.id) {
        await this.dropLeftovers(path);
        await setBranches(path, app.commit);
        const now = this.options.clock.now() / 1000;
        await utimes(join(path, marker), now, now);
        return path;
      }
    } catch (error) {
      // Absent, or damaged by a crash in the middle of a push: it is a cache, a new one will do.
      this.options.log.info({ app: app.name, err: String(error) }, 'repository made anew');
    }
    await this.make(path, app);
    return path;
  }

  /** After a push: packs what lies loose, and drops what has grown too large. Never throws. */
  async tidy(path: string): Promise<void> {
    try {
      await git(['-c', 'gc.auto=500', '-c', 'gc.pruneExpire=now', 'gc', '--auto', '--quiet'], {
        cwd: path,
        timeoutMs: tidyMs,
      });
      const counts = await git(['count-objects', '-v'], { cwd: path });
      const kib = [...counts.matchAll(/^size(?:-pack)?: (\d+)$/gm)].reduce((sum, m) => sum + Number(m[1]), 0);
      if (kib > largestKiB) await rm(path, { recursive: true, force: true });
    } catch (error) {
      this.options.log.warn({ path, err: String(error) }, 'repository not cleaned up, dropped');
      await rm(path, { recursive: true, force: true }).catch(() => undefined);
    }
  }

  /** At start: drops repositories that nobody used for long, and what a crash left half made. */
  async sweep(): Promise<void> {
    await mkdir(this.root, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.root)) {
      const path = join(this.root, name);
      const used = await stat(join(path, marker)).catch(() => undefined);
      if (used && name.endsWith('.git') && this.options.clock.now() - used.mtimeMs < unusedMs) continue;
      await rm(path, { recursive: true, force: true });
    }
  }

  private async make(path: string, app: RepoOf): Promise<void> {
    const temporary = `${path}.new`;
    await rm(path, { recursive: true, force: true });
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary, { recursive: true, mode: 0o700 });
    await git(['init', '--bare', '--quiet', '--template=', '--initial-branch=main', '.'], { cwd: temporary });
    await writeFile(join(temporary, marker), app.id);
    await rename(temporary, path);
  }

  /** Objects of pushes that were cut off. */
  private async dropLeftovers(path: string): Promise<void> {
    for (const name of await readdir(join(path, 'objects'))) {
      if (!/^(tmp_objdir-|incoming-)/.test(name)) continue;
      await rm(join(path, 'objects', name), { recursive: true, force: true });
    }
  }
}

/** Points the branches to `commit`, if it is here; keeps the objects of what they pointed to. */
async function setBranches(path: string, commit: string | undefined): Promise<void> {
  const here = commit !== undefined && (await hasCommit(path, commit)) ? commit : undefined;
  const list = await git(['for-each-ref', '--format=%(refname) %(objectname)', 'refs/heads', aside], {
    cwd: path,
  });
  const refs = new Map(list.split('\n').map((line) => line.split(' ', 2) as [string, string]));
  const changes: string[] = [];
  for (const branch of deployBranches) {
    const at = refs.get(`refs/heads/${branch}`);
    const was = at ?? refs.get(aside + branch);
    if (was === undefined || at === here) continue;
    if (at !== undefined) changes.push(`update ${aside}${branch} ${at}`);
    changes.push(here === undefined ? `delete refs/heads/${branch}` : `update refs/heads/${branch} ${here}`);
  }
  if (changes.length > 0)
    await git(['update-ref', '--stdin'], { cwd: path, input: `${changes.join('\n')}\n` });
}

async function hasCommit(path: string, commit: string): Promise<boolean> {
  if (!/^[0-9a-f]{40,64}$/.test(commit)) return false;
  return git(['cat-file', '-e', `${commit}^{commit}`], { cwd: path }).then(
    () => true,
    () => false,
  );
}
