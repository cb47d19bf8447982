#!/usr/bin/env node
// The command line as it ships: answers --version itself, loads oclif for everything else.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { asksVersion } from './argv.js';

if (asksVersion(process.argv.slice(2))) {
  const own = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  process.stdout.write(`flynn ${own.version} ${process.platform}-${process.arch} node-${process.version}\n`);
} else {
  // oclif looks for sources and warnings of its own when it thinks that it is being developed.
  process.env.NODE_ENV ??= 'production';
  const { main } = await import('./main.js');
  await main({ root: fileURLToPath(new URL('..', import.meta.url)) });
}
