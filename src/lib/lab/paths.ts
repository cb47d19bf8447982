// Where the lab keeps things: the checkout, its .lab directory and the cache of this user.
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The nearest directory upwards of `from` that holds a package.json; `from` itself when none does. */
export const packageRoot = (from: string = dirname(fileURLToPath(import.meta.url))): string => {
  for (let dir = from; ; dir = dirname(dir)) {
    if (existsSync(join(dir, 'package.json'))) return dir;
    if (dirname(dir) === dir) return from;
  }
};

/** Directory of the lab's templates. */
export const templatesDir = (): string => join(packageRoot(), 'templates', 'lab');

/** Directory for what is made once per user: engine record and log, image work, registry probe. */
export const cacheDir = (): string =>
  join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'flynn-lab');
