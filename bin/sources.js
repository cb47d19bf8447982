// How oclif is told to find the commands in the sources, whatever a build has left beside them.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * Load options for the commands in `src`. The root is `src` itself: in the package's own root oclif would read the
 * manifest of the last build.
 * @returns {import('@oclif/core').Interfaces.LoadOptions}
 */
export function sourcesOptions() {
  const pjson = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  pjson.oclif.commands.target = './commands';
  return { root: fileURLToPath(new URL('../src', import.meta.url)), pjson };
}
