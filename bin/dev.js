#!/usr/bin/env node
// The command line from the sources, without a build: for work on Flynn itself.
import { register } from 'tsx/esm/api';
import { main } from './main.js';
import { sourcesOptions } from './sources.js';

process.env.NODE_ENV ??= 'production';
register();
await main(sourcesOptions());
