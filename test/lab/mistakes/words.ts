// Words that do not fit an app: names, counts, variables, domains, keys, flags.
import { typed, type Mistake, type Table } from './mistake.js';
import { app, at, empty } from './stage.js';

const on =
  (...words: string[]) =>
  () => [...words, '-a', app];

/** Name, command line, exit code, what the message says, what the hint says, what is piped in. */
type Row = [string, () => string[], number, (string | RegExp)[], string | RegExp, string?];

const rows: Row[] = [
  [
    'a name of 31 letters',
    () => ['apps:create', 'a'.repeat(31)],
    2,
    ['a'.repeat(31), '30 characters'],
    'apps:create',
  ],
  ['a reserved name', () => ['apps:create', 'flynn'], 2, ['flynn', 'reserved'], 'apps:create'],
  ['a name with capitals', () => ['apps:create', 'Hello_1'], 2, ['Hello_1', 'lower-case'], 'apps:create'],
  ['a name that is taken', () => ['apps:create', app], 4, [`${app} exists`], '--if-missing'],
  ['an app that does not exist', () => ['ps', '-a', 'nosuch'], 3, ['nosuch'], 'apps:create nosuch'],
  ['fewer than none', on('scale', 'web=-1'), 2, ['web=-1', "'-1'"], 'flynn scale'],
  ['a type with a slip', on('scale', 'wbe=3'), 2, ['wbe', 'it has: web'], 'flynn scale web='],
  ['half an instance', on('scale', 'web=1.5'), 2, ['web=1.5', 'whole number'], 'flynn scale'],
  ['far too many', on('scale', 'web=100000'), 2, ['web=100000', '1000'], 'flynn scale'],
  ['a count without a type', on('scale', '3'), 2, ["'3'"], 'flynn scale'],
  ['the same type twice', on('scale', 'web=1', 'web=2'), 2, ['web is named twice'], /./],
  ['a variable that is none', on('env:set', '1A=x'), 2, ["'1A'", 'starts with no digit'], 'flynn env:set'],
  ['a variable without value', on('env:set', 'GREETING'), 2, ["'GREETING'"], 'flynn env:set'],
  ['a variable that is not set', on('env:get', 'NOPE'), 3, ['NOPE', app], 'flynn env'],
  ['nothing to go back to', on('releases:rollback'), 3, [app, 'no earlier release'], 'flynn releases'],
  ['a release that never was', on('releases:rollback', '99'), 3, [app, '99'], 'flynn releases'],
  ['a domain that is none', on('routes:add', 'http', 'a_b!'), 2, ['a_b!'], 'flynn routes'],
  [
    'a domain that is taken',
    on('routes:add', 'http', `${empty}.localhost`),
    4,
    [`in use by app ${empty}`],
    'flynn routes',
  ],
  [
    'a route that is not there',
    on('routes:remove', 'nosuch.localhost'),
    3,
    ['nosuch.localhost'],
    'flynn routes',
  ],
  ['a key that is none', () => ['keys:add', '-'], 2, ['standard input'], 'ssh-ed25519', 'rubbish\n'],
  ['a private key', () => ['keys:add', at('private.pub')], 2, ['private key', 'private.pub'], '.pub'],
  ['a key file that is missing', () => ['keys:add', '/nonexistent.pub'], 3, ['/nonexistent.pub'], '.pub'],
  ['a key that is not in', () => ['keys:remove', 'SHA256:nope'], 3, ['SHA256:nope'], 'flynn keys'],
  ['removal with nobody to ask', on('apps:destroy'), 2, [app], '--yes'],
  ['a deployment without image', on('deploy'), 2, ['image'], 'deploy --help'],
  ['a flag that does not exist', on('ps', '--bogus'), 2, ['--bogus'], 'ps --help'],
  ['a run of nothing', on('run'), 2, ['no command'], 'flynn run'],
  ['a run of an app that does not exist', () => ['run', '-a', 'nosuch', 'ls'], 3, ['nosuch'], 'apps:create'],
  ['a run before a release', () => ['run', '-a', empty, 'ls'], 4, [empty, 'no release yet'], 'flynn deploy'],
  ['a scale before a release', () => ['scale', '-a', empty, 'web=1'], 2, [empty], 'flynn deploy'],
];

export const wordMistakes: Table = {
  title: 'words that do not fit',
  together: true,
  mistakes: rows.map(([name, words, code, says, hint, input]): Mistake => ({
    name,
    act: typed(words, () => (input === undefined ? {} : { input })),
    ...{ code, says, hint },
  })),
};
