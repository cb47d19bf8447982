// All commands together: how they describe themselves, which letters mean what, old names, and global flags in front.
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { asksVersion, hoistGlobalFlags } from '../../../bin/argv.js';

interface Listed {
  id: string;
  description: string;
  examples: number;
  aliases: string[];
  flags: Record<string, string>;
}

const here = fileURLToPath(new URL('.', import.meta.url));
const root = fileURLToPath(new URL('../../..', import.meta.url));
let commands: Listed[];
let topics: string[];

beforeAll(async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [join(here, 'list.mjs')], { cwd: root });
  ({ commands, topics } = JSON.parse(stdout) as { commands: Listed[]; topics: string[] });
}, 30_000);

describe('every command', () => {
  it('given its description, when read, then it is lower-case, without a full stop, and there is an example', () => {
    const bad = commands.filter(
      ({ description, examples }) => !/^[a-z]/.test(description) || /\.$/.test(description) || examples === 0,
    );
    expect(bad.map(({ id }) => id)).toEqual([]);
    expect(commands.length).toBeGreaterThan(20);
  });

  it('given letters of flags, when compared, then each means one thing', () => {
    const meanings: Record<string, Set<string>> = {};
    for (const { flags } of commands) {
      for (const [name, char] of Object.entries(flags)) if (char) (meanings[char] ??= new Set()).add(name);
    }
    const several = Object.entries(meanings).filter(([, names]) => names.size > 1);
    expect(several.map(([char, names]) => `${char}: ${[...names].join(' ')}`)).toEqual([]);
    expect([...(meanings.a ?? [])]).toEqual(['app']);
  });

  it('given --json, when asked for, then every command takes it', () => {
    expect(commands.filter(({ flags }) => !Object.hasOwn(flags, 'json')).map(({ id }) => id)).toEqual([]);
  });

  it('given its file, when read, then nothing slow is imported before it runs', async () => {
    const dir = join(root, 'src', 'commands');
    const files = (await readdir(dir, { recursive: true })).filter((file) => file.endsWith('.ts'));
    const slow =
      /^import (?!type).*from '(ssh2|dockerode|etcd3|zod|inquirer|listr2|simple-git|.*\/(api\/(names|app|job|grid)|operator\/[^']*|ssh\/[^']*|lab\/[^']*))(\.js)?';/m;
    const bad: string[] = [];
    for (const file of files) if (slow.test(await readFile(join(dir, file), 'utf8'))) bad.push(file);
    expect(bad).toEqual([]);
  });
});

describe("the original's words", () => {
  it.each([
    ['create', 'apps:create'],
    ['delete', 'apps:destroy'],
    ['destroy', 'apps:destroy'],
    ['info', 'apps:info'],
    ['log', 'logs'],
    ['route', 'routes'],
    ['route:add', 'routes:add'],
    ['route:remove', 'routes:remove'],
    ['release', 'releases'],
    ['release:rollback', 'releases:rollback'],
    ['rollback', 'releases:rollback'],
    ['key', 'keys'],
    ['key:add', 'keys:add'],
    ['key:remove', 'keys:remove'],
    ['status', 'cluster:status'],
  ])('given %s, when typed, then it is %s', (alias, id) => {
    expect(commands.find((command) => command.aliases.includes(alias))?.id).toBe(id);
  });
});

describe('global flags in front', () => {
  const ids = (): Set<string> =>
    new Set([...commands.flatMap(({ id, aliases }) => [id, ...aliases]), ...topics]);

  it.each([
    ['-a x ps', 'ps -a x'],
    ['-a x env set A=1', 'env set -a x A=1'],
    ['--app=x scale web=3', 'scale --app=x web=3'],
    ['-c prod --json cluster status --watch', 'cluster status -c prod --json --watch'],
    ['-ax logs -f', 'logs -ax -f'],
    ['-a x routes add http d.test', 'routes add -a x http d.test'],
    ['-a x route add http d.test', 'route add -a x http d.test'],
    ['ps -a x', 'ps -a x'],
    ['-a', '-a'],
    ['-a x', '-a x'],
    ['--help', '--help'],
    ['-a x --help', '-a x --help'],
    ['', ''],
  ])('given %j, when read, then it is %j', (typed, meant) => {
    const words = (line: string): string[] => line.split(' ').filter((word) => word !== '');
    expect(hoistGlobalFlags(words(typed), ids())).toEqual(words(meant));
  });

  it('given --version, when alone, then it is answered without loading anything', () => {
    expect(asksVersion(['--version'])).toBe(true);
    expect(asksVersion(['-v'])).toBe(true);
    expect(asksVersion(['run', '-v'])).toBe(false);
  });
});
