// The builder's scripts as they are run: what a Procfile says, and what a buildpack takes for granted.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { packageRoot } from '../../../src/lib/util/package-root.js';

const templates = join(packageRoot(), 'templates');
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'flynn-builder-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const procfile = (text: string | undefined, release = '') => {
  const path = join(dir, 'Procfile');
  if (text !== undefined) writeFileSync(path, text);
  // In the image it lies in no package; here its ending says that it is no module.
  const script = join(dir, 'procfile.cjs');
  copyFileSync(join(templates, 'images/slugbuilder/procfile.js'), script);
  const done = spawnSync(process.execPath, [script, path], { input: release, encoding: 'utf8' });
  return { code: done.status, stderr: done.stderr, processes: done.stdout };
};
const defaults = '---\ndefault_process_types:\n  web: npm start\n';

describe('the processes of an app', () => {
  it.each<[string, string | undefined, string, object]>([
    [
      'a Procfile',
      '# two\nweb: node server.js\n\nworker:  node w.js \r\n',
      '',
      { web: 'node server.js', worker: 'node w.js' },
    ],
    ['no Procfile', undefined, defaults, { web: 'npm start' }],
    ['a Procfile and defaults', 'worker: w', defaults, { web: 'npm start', worker: 'w' }],
    ['a Procfile that says the default otherwise', 'web: other', defaults, { web: 'other' }],
    ['an empty Procfile and no defaults', '\n', '', {}],
  ])('given %s, then they are these', (_name, text, release, processes) => {
    expect(JSON.parse(procfile(text, release).processes)).toEqual(processes);
  });

  it.each([
    [
      'a line without a colon',
      'web: x\nworker node w.js\n',
      'Procfile line 2 is not `type: command`: worker node w.js',
    ],
    ['a type with capitals', 'Web: x\n', 'Procfile line 1'],
    ['a type without a command', 'web:\n', 'Procfile line 1'],
  ])('given %s, then it is refused, with the line and what to type', (_name, text, says) => {
    const { code, stderr } = procfile(text);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^ ! {5}\S.*\n ! {5}→ git commit .*\n$/);
    expect(stderr).toContain(says);
  });

  it('given a folder of that name, then it is refused in words', () => {
    mkdirSync(join(dir, 'Procfile'));
    expect(procfile(undefined)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is no file') as string,
    });
  });
});

describe('what the Node.js buildpack starts', () => {
  const release = (files: Record<string, string>) => {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
    const done = spawnSync('bash', [join(templates, 'buildpacks/nodejs/bin/release'), dir], {
      encoding: 'utf8',
    });
    expect(done.status, done.stderr).toBe(0);
    return done.stdout;
  };

  it.each<[string, Record<string, string>, boolean]>([
    ['a start script', { 'package.json': '{"scripts":{"start":"node ."}}' }, true],
    ['a server.js, which npm starts by itself', { 'package.json': '{}', 'server.js': '' }, true],
    ['neither', { 'package.json': '{"scripts":{"test":"x"}}' }, false],
  ])('given %s, then npm start is the default or there is none', (_name, files, has) => {
    expect(release(files).includes('web: npm start')).toBe(has);
  });
});
