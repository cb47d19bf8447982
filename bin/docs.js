#!/usr/bin/env node
// `npm run docs`: writes docs/commands.md and docs/schemas/ from the sources. With --check it writes nothing and
// ends with 1 when they are not what it would write.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Config } from '@oclif/core';
import { format, resolveConfig } from 'prettier';
import { register } from 'tsx/esm/api';
import { root } from './setup.js';
import { sourcesOptions } from './sources.js';

process.env.NODE_ENV = 'production';
register();
const { commandReference, schemaFile } = await import('../src/docs/reference.ts');
const { jsonSchemas } = await import('../src/docs/schemas.ts');

const docs = join(root, 'docs');
const wanted = await pages();
const check = process.argv.includes('--check');
const stale = [];
for (const [path, text] of wanted) {
  const file = join(docs, path);
  if (existsSync(file) && readFileSync(file, 'utf8') === text) continue;
  stale.push(`docs/${path}`);
  if (check) continue;
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, text);
}
for (const name of existsSync(join(docs, 'schemas')) ? readdirSync(join(docs, 'schemas')) : []) {
  if (wanted.has(`schemas/${name}`)) continue;
  stale.push(`docs/schemas/${name}`);
  if (!check) rmSync(join(docs, 'schemas', name));
}
for (const name of stale) console.error(check ? `${name} is not up to date: npm run docs` : `wrote ${name}`);
process.exitCode = check && stale.length > 0 ? 1 : 0;

/** Every file that is written, by its path below docs/. */
async function pages() {
  const options = sourcesOptions();
  // Without plugins: the page is about our own commands, whatever else is installed.
  options.pjson.oclif.plugins = [];
  const { commands } = await Config.load(options);
  const schemas = jsonSchemas();
  const { bin, topics } = options.pjson.oclif;
  const reference = commandReference({
    bin,
    commands,
    topics: Object.entries(topics).map(([name, { description }]) => ({ name, description })),
    schemas: new Set(schemas.keys()),
  });
  const files = new Map([['commands.md', await pretty(reference, 'commands.md')]]);
  for (const [name, schema] of schemas) {
    const path = `schemas/${schemaFile(name)}`;
    files.set(path, await pretty(JSON.stringify(schema), path));
  }
  return files;
}

async function pretty(text, path) {
  const filepath = join(docs, path);
  return format(text, { ...(await resolveConfig(filepath)), filepath });
}
