#!/usr/bin/env node
// `npm run demo`: sets up what is missing, then tells the whole story on three hosts of its own.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root, setupOrExit } from './setup.js';

setupOrExit();
const { demo } = await import(pathToFileURL(join(root, 'dist/demo/main.js')).href);
try {
  await demo();
} catch (error) {
  process.stderr.write(`\nThe demo stopped: ${error.message}\n`);
  if (error.hint) process.stderr.write(`  → ${error.hint}\n`);
  process.exitCode = error.exitCode ?? 1;
}
