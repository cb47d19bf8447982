// docs/commands.md from what the command line says of itself. Pure: equal commands give equal text.
import { exitCodes, exitMeanings } from '../lib/api/errors.js';

/** A flag as oclif describes it; only what is read here. */
export interface FlagLike {
  name: string;
  type: string;
  char?: string;
  description?: string;
  summary?: string;
  default?: unknown;
  options?: readonly string[];
  multiple?: boolean;
  required?: boolean;
  hidden?: boolean;
  env?: string;
  allowNo?: boolean;
  helpGroup?: string;
}

/** An argument as oclif describes it. */
export interface ArgLike {
  name: string;
  description?: string;
  required?: boolean;
  hidden?: boolean;
}

/** A command as oclif describes it. */
export interface CommandLike {
  id: string;
  description?: string;
  summary?: string;
  usage?: string | readonly string[];
  examples?: readonly unknown[];
  aliases?: readonly string[];
  hidden?: boolean;
  strict?: boolean;
  args: Readonly<Record<string, ArgLike>>;
  flags: Readonly<Record<string, FlagLike>>;
}

/** What the page is made from. */
export interface ReferenceInput {
  bin: string;
  commands: readonly CommandLike[];
  topics: readonly { name: string; description?: string }[];
  /** Ids of commands whose document under --json has a schema. */
  schemas: ReadonlySet<string>;
}

/** File of the schema of a command's document, below docs/schemas. */
export const schemaFile = (id: string): string => `${id.replaceAll(':', '-')}.json`;

/** Flags that are listed once, for all commands: those of the group GLOBAL, and --json. */
const isGlobal = ({ name, helpGroup }: FlagLike): boolean => helpGroup === 'GLOBAL' || name === 'json';

/** What oclif says of --json is the same for every program. */
const jsonMeaning = 'print the result as JSON: one document, a stream as one document a line';

const byName = <T extends { name: string }>(a: T, b: T): number =>
  a.name < b.name ? -1 : a.name > b.name ? 1 : 0;

/** The whole page, as Markdown. */
export function commandReference(input: ReferenceInput): string {
  // oclif lists a command once more under each of its aliases.
  const commands = input.commands
    .filter(({ id, hidden, aliases }) => !hidden && !aliases?.includes(id))
    .sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  return [
    '# Commands',
    'Written by `npm run docs` from the command line itself. A space or a colon between the words of a command: both work.',
    globalFlags(commands),
    ...sections(commands, input),
    exitCodeSection(input.bin),
    errorSection(),
    '',
  ].join('\n\n');
}

function globalFlags(commands: readonly CommandLike[]): string {
  const found = new Map<string, FlagLike>();
  for (const flag of commands.flatMap(({ flags }) => Object.values(flags))) {
    if (!isGlobal(flag) || flag.hidden || found.has(flag.name)) continue;
    found.set(flag.name, flag.name === 'json' ? { ...flag, description: jsonMeaning } : flag);
  }
  return ['Flags that mean the same everywhere:', flagTable([...found.values()].sort(byName))].join('\n\n');
}

/** One section for the commands of one word, then one for each topic. */
function sections(commands: readonly CommandLike[], input: ReferenceInput): string[] {
  const topicOf = ({ id }: CommandLike): string | undefined =>
    input.topics.map(({ name }) => name).find((name) => id === name || id.startsWith(`${name}:`));
  const loose = commands.filter((command) => topicOf(command) === undefined);
  const topics = [...input.topics].sort(byName).flatMap(({ name, description }) => {
    const own = commands.filter((command) => topicOf(command) === name);
    if (own.length === 0) return [];
    return [
      `## ${name}`,
      ...(description ? [sentence(description)] : []),
      ...own.map((one) => describe(one, input)),
    ];
  });
  return ['## Apps from day to day', ...loose.map((one) => describe(one, input)), ...topics];
}

function describe(command: CommandLike, { bin, schemas }: ReferenceInput): string {
  const flags = Object.values(command.flags).filter((flag) => !flag.hidden && !isGlobal(flag));
  const args = Object.values(command.args).filter((arg) => !arg.hidden);
  const parts = [
    `### ${command.id.replaceAll(':', ' ')}`,
    sentence(command.summary ?? command.description ?? ''),
    code([usageOf(command, bin)]),
  ];
  if (args.length > 0) {
    const rows = args.map(({ name, description = '', required }) => [
      `\`${name.toUpperCase()}\``,
      `${description}${required ? '' : ' (may be left out)'}`,
    ]);
    parts.push(table(['argument', 'meaning'], rows));
  }
  if (flags.length > 0) parts.push(flagTable(flags.sort(byName)));
  parts.push(code((command.examples ?? []).map((example) => exampleOf(example, bin))));
  if (command.aliases?.length) {
    parts.push(`Also: ${command.aliases.map((alias) => `\`${alias.replaceAll(':', ' ')}\``).join(', ')}.`);
  }
  if (schemas.has(command.id)) {
    const file = schemaFile(command.id);
    parts.push(`Under \`--json\`: [schemas/${file}](schemas/${file}).`);
  }
  return parts.join('\n\n');
}

function usageOf(command: CommandLike, bin: string): string {
  const told = typeof command.usage === 'string' ? command.usage : command.usage?.[0];
  if (told !== undefined) return `${bin} ${told}`;
  const words = Object.values(command.args)
    .filter((arg) => !arg.hidden)
    .map(({ name, required }, index, all) => {
      const word = `${name.toUpperCase()}${command.strict === false && index === all.length - 1 ? '...' : ''}`;
      return required ? word : `[${word}]`;
    });
  const own = Object.values(command.flags).filter((flag) => !flag.hidden && !isGlobal(flag));
  const needed = own
    .filter(({ required }) => required)
    .sort(byName)
    .map(({ name }) => `--${name} VALUE`);
  const optional = own.some(({ required }) => !required) ? ['[flags]'] : [];
  return [bin, command.id.replaceAll(':', ' '), ...words, ...needed, ...optional].join(' ');
}

function exampleOf(example: unknown, bin: string): string {
  const text =
    typeof example === 'object' && example !== null && 'command' in example
      ? String(example.command)
      : String(example);
  return text.replace(/<%=\s*config\.bin\s*%>/g, bin);
}

function flagTable(flags: readonly FlagLike[]): string {
  const rows = flags.map((flag) => {
    const long =
      flag.type === 'boolean' ? `--${flag.allowNo ? '[no-]' : ''}${flag.name}` : `--${flag.name} VALUE`;
    const words = [flag.char ? `\`-${flag.char}\`` : '', `\`${long}\``]
      .filter((word) => word !== '')
      .join(', ');
    const notes = [
      ...(flag.options ? [`one of ${flag.options.join(', ')}`] : []),
      ...(['string', 'number', 'boolean'].includes(typeof flag.default) && flag.default !== false
        ? [`default: ${String(flag.default)}`]
        : []),
      ...(flag.env ? [`else ${flag.env}`] : []),
      ...(flag.required ? ['needed'] : []),
      ...(flag.multiple ? ['may be repeated'] : []),
    ].filter((note) => !(flag.summary ?? flag.description ?? '').includes(note));
    const text = flag.summary ?? flag.description ?? '';
    return [words, notes.length > 0 ? `${text}; ${notes.join('; ')}` : text];
  });
  return table(['flag', 'meaning'], rows);
}

function exitCodeSection(bin: string): string {
  const rows = Object.entries(exitMeanings)
    .sort(([a], [b]) => Number(a) - Number(b))
    .map(([code, meaning]) => {
      const names = Object.entries(exitCodes).flatMap(([name, exit]) =>
        exit === Number(code) ? [`\`${name}\``] : [],
      );
      return [code, meaning, names.join(', ')];
    });
  return [
    '## Exit codes',
    table(['exit code', 'meaning', '`code` under `--json`'], rows),
    `\`${bin} run\` passes on the exit code of its job.`,
  ].join('\n\n');
}

function errorSection(): string {
  return [
    '## Errors under --json',
    'Where a command fails, the document on stdout is the error; the exit code belongs to its `code`. `message` names what it is about, `hint` is the next command to type and may be absent. The schema is [schemas/error.json](schemas/error.json).',
    '```json\n{ "code": "not_found", "message": "there is no app hello", "hint": "flynn apps:create hello" }\n```',
  ].join('\n\n');
}

const sentence = (text: string): string => (text === '' ? '' : `${text[0]!.toUpperCase()}${text.slice(1)}.`);

const code = (lines: readonly string[]): string => ['```sh', ...lines, '```'].join('\n');

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((row) => `| ${row.map(cell).join(' | ')} |`).join('\n');
