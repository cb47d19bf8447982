#!/usr/bin/env node
// The command line from the sources, without a build: for work on Flynn itself.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { register } from 'tsx/esm/api';
import { main } from './main.js';

process.env.NODE_ENV ??= 'production';
register();
const root = fileURLToPath(new URL('..', import.meta.url));
const pjson = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'));
pjson.oclif.commands.target = './src/commands';
await main({ root, pjson, ignoreManifest: true, enablePerf: false });
