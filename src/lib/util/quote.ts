// Quoting of commands for hosts: the one place where an argv array becomes shell text.

const PLAIN = /^[A-Za-z0-9_/:.,@%+-][A-Za-z0-9_/:.,@%+=-]*$/;
const inQuotes = (arg: string): string => `'${arg.replaceAll("'", `'\\''`)}'`;

/**
 * One word as a POSIX shell reads it back unchanged.
 * Throws a TypeError for a NUL character, which no argument can hold.
 */
export const quoteArg = (arg: string): string => {
  if (arg.includes('\0')) throw new TypeError('an argument cannot hold a NUL character');
  return PLAIN.test(arg) ? arg : inQuotes(arg);
};

// As a command's first word these would be read as syntax.
const RESERVED = new Set(
  'if then else elif fi do done case esac while until for in function select time coproc'.split(' '),
);

/** A command line that a POSIX shell splits into exactly these words. Throws a TypeError for an empty argv. */
export const quoteArgv = (argv: readonly string[]): string => {
  const [command, ...rest] = argv;
  if (command === undefined) throw new TypeError('a command has at least one word');
  const plain = quoteArg(command);
  // Unquoted, a first word with `=` in it would be an assignment.
  const special = plain === command && (command.includes('=') || RESERVED.has(command));
  return [special ? inQuotes(command) : plain, ...rest.map(quoteArg)].join(' ');
};
