// What counts as a push, what it may change, and what the hook tells.
import { describe, expect, it } from 'vitest';
import { appOfPath, pushPath } from '../../../src/lib/layer1/gateway/git/command.js';
import { parseQuestion } from '../../../src/lib/layer1/gateway/git/hook.js';
import { judge, parseUpdate, type RefUpdate } from '../../../src/lib/layer1/gateway/git/updates.js';

const none = '0'.repeat(40);
const one = '1'.repeat(40);
const two = '2'.repeat(40);
const to = (ref: string, fresh = one, old = none): RefUpdate => ({ old, new: fresh, ref });

describe('commands', () => {
  it.each([
    ["git-receive-pack 'hello.git'", 'hello'],
    ["git-receive-pack '/hello.git'", 'hello'],
    ["git-receive-pack '/hello'", 'hello'],
    ['git-receive-pack hello.git', 'hello'],
    ["git receive-pack 'a-b1.git'", 'a-b1'],
  ])('given %s, when read, then it is a push to %s', (command, app) => {
    const path = pushPath(command);
    expect(path).toBeDefined();
    expect(appOfPath(path ?? '')).toBe(app);
  });

  it.each([
    'git-receive-pack',
    'git-receive-pack ',
    "git-upload-pack 'hello.git'",
    "git-receive-pack 'hello.git' extra",
    "git-receive-pack 'hello.git'; ls",
    "git-receive-pack 'he''llo'",
    "git-receive-pack --stateless-rpc 'hello.git'",
    "xgit-receive-pack 'hello.git'",
    "git-receive-pack  'hello.git'",
    "git-receive-pack 'hello.git'\nls",
    'flynn-api',
  ])('given %j, when read, then it is no push', (command) => {
    expect(pushPath(command)).toBeUndefined();
  });

  it.each([
    '../hello.git',
    '/../../etc/passwd',
    'a/b.git',
    '//hello',
    '-h.git',
    '--help',
    'Hello.git',
    '.git',
    '',
    'hello.git.git',
    'etcd.git',
    'a\u0000b',
  ])('given the path %j, when read, then it is refused as no app', (path) => {
    expect(() => appOfPath(path)).toThrow(expect.objectContaining({ code: 'invalid' }) as Error);
  });
});

describe('updates', () => {
  it.each(['main', 'master'])('given a push of %s, when judged, then its commit deploys', (branch) => {
    expect(judge([to(`refs/heads/${branch}`)])).toEqual({ deploy: one, branch });
    expect(judge([to('refs/tags/v1', two), to(`refs/heads/${branch}`)])).toEqual({ deploy: one, branch });
  });

  it.each([
    [[to('refs/heads/topic/x')], 'git push flynn topic/x:main'],
    [[to('refs/heads/main'), to('refs/heads/topic')], 'git push flynn topic:main'],
    [[to('refs/flynn/main')], 'only main (or master) deploys'],
    [[to('refs/heads/refs/heads/main')], 'only main (or master) deploys'],
    [[to('refs/heads/main', none, one)], 'cannot be deleted'],
    [[to('refs/tags/v1')], 'tags alone'],
    [[to('refs/heads/main'), to('refs/heads/master', two)], 'push one of them'],
    [[], 'tags alone'],
  ])('given %j, when judged, then it is refused with "%s"', (updates, text) => {
    const verdict = judge(updates);
    expect('refuse' in verdict ? verdict.refuse.join('\n') : verdict).toContain(text);
  });

  it('given lines that are no updates, when read, then they are none', () => {
    expect(parseUpdate(`${none} ${one} refs/heads/main`)).toEqual(to('refs/heads/main'));
    for (const line of [
      '',
      'x',
      `${none} ${one}`,
      `${none} ${one} heads/main`,
      `${none} zz refs/heads/main`,
    ]) {
      expect(parseUpdate(line)).toBeUndefined();
    }
  });
});

describe('the hook', () => {
  it('given what it tells, when read, then the updates and the place of the objects are known', () => {
    const text = `objects /r/objects/new\nalternates /r/objects\nupdate ${none} ${one} refs/heads/main\nend\n`;
    expect(parseQuestion(text)).toEqual({
      updates: [to('refs/heads/main')],
      objects: { GIT_OBJECT_DIRECTORY: '/r/objects/new', GIT_ALTERNATE_OBJECT_DIRECTORIES: '/r/objects' },
    });
    expect(parseQuestion('objects \nalternates \nend\n')).toEqual({ updates: [], objects: {} });
    expect(() => parseQuestion('update nonsense\nend\n')).toThrow('nonsense');
  });
});
