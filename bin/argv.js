// Command lines before oclif reads them: global flags may stand in front of the command (`flynn -a app ps`).

/** Global flags that take a value, and those that take none. */
const valued = new Set(['-a', '--app', '-c', '--cluster']);
const bare = new Set(['--json']);
/** Flags of `flynn run` that take a value. */
const runValued = new Set(['-e', '--env']);
/** Flags of `flynn jobs:run` that take a value. */
const jobValued = new Set([
  ...['-e', '-i', '--constraint', '--cpu', '--env', '--host', '--identity', '--kind', '--memory', '--name'],
  ...['--port', '--restart', '--service', '--ssh-config', '--timeout', '--user', '--volume', '--workdir'],
]);

/**
 * Moves global flags that stand in front of the command behind its name. `ids` holds every command and topic with
 * colons (`apps`, `apps:create`), so that a name of several words is known to end. A line without a command is
 * returned unchanged.
 * @param {readonly string[]} argv
 * @param {ReadonlySet<string>} ids
 * @returns {string[]}
 */
export function hoistGlobalFlags(argv, ids) {
  const flags = [];
  let at = 0;
  while (at < argv.length) {
    const word = argv[at];
    if (valued.has(word) && at + 1 < argv.length) {
      flags.push(word, argv[at + 1]);
      at += 2;
    } else if (bare.has(word) || /^(-[ac].+|--(app|cluster)=.*)$/.test(word)) {
      flags.push(word);
      at += 1;
    } else break;
  }
  if (flags.length === 0 || at >= argv.length || argv[at].startsWith('-')) return [...argv];
  let end = at + 1;
  while (end < argv.length && ids.has(argv.slice(at, end + 1).join(':'))) end += 1;
  return [...argv.slice(at, end), ...flags, ...argv.slice(end)];
}

/** Commands whose last words belong to what they run, with their flags that take a value. */
const runners = [
  { words: ['run'], valued: runValued },
  { words: ['jobs', 'run'], valued: jobValued },
  { words: ['jobs:run'], valued: jobValued },
  { words: ['job', 'run'], valued: jobValued },
  { words: ['job:run'], valued: jobValued },
];

/**
 * Puts `--` in front of the first word of `flynn run` and `flynn jobs:run` that is no flag of ours, so that none of
 * those after it is taken for one (`flynn run ls --help`). A line that is no run, or names nothing, is unchanged.
 * @param {readonly string[]} argv with the command's name first
 * @returns {string[]}
 */
export function guardRunWords(argv) {
  const runner = runners.find(({ words }) => words.every((word, at) => argv[at] === word));
  if (!runner) return [...argv];
  let at = runner.words.length;
  while (at < argv.length && argv[at].startsWith('-') && argv[at] !== '--') {
    at += valued.has(argv[at]) || runner.valued.has(argv[at]) ? 2 : 1;
  }
  if (at >= argv.length || argv[at] === '--') return [...argv];
  return [...argv.slice(0, at), '--', ...argv.slice(at)];
}

/**
 * True when the line asks for our version and nothing else.
 * @param {readonly string[]} argv
 * @returns {boolean}
 */
export function asksVersion(argv) {
  return argv.length === 1 && (argv[0] === '--version' || argv[0] === '-v');
}
