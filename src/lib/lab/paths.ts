// Where the lab keeps things: the checkout, its .lab directory and the cache of this user.
import { homedir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../util/package-root.js';

/** Directory of the lab's templates. */
export const templatesDir = (): string => join(packageRoot(), 'templates', 'lab');

/** Directory for what is made once per user: engine record and log, image work, registry probe. */
export const cacheDir = (): string =>
  join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'flynn-lab');
