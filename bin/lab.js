#!/usr/bin/env node
// The lab from a checkout: `npm run lab -- up`. Installs and builds what is missing, then hands over to the CLI.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import { root, setupOrExit } from './setup.js';

setupOrExit();
const child = spawn(process.execPath, [join(root, 'bin', 'run.js'), 'lab', ...process.argv.slice(2)], {
  stdio: 'inherit',
});
// The terminal sends Ctrl-C to both; the CLI cleans up and ends, and this process follows with its code.
for (const name of ['SIGINT', 'SIGTERM']) {
  process.on(name, () => {
    if (name === 'SIGTERM') child.kill(name);
  });
}
child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal ?? 'SIGKILL']));
