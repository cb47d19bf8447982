// ssh_config: what the operator's own configuration says about a host. It can never weaken host key checks.
import { readFile } from 'node:fs/promises';
import { homedir, userInfo } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import SSHConfig, { type Directive, type Line, type Match } from 'ssh-config';
import { FlynnError } from '../api/errors.js';
import { findFiles, isAbsent, readOptional } from './files.js';
import { matchesPatternList } from './patterns.js';
import type { SshTarget } from './port.js';
import { parseTarget, type TargetSpec } from './target.js';

/** What ssh_config says about one host; what it does not say is undefined. */
export interface HostConfig {
  hostName?: string;
  user?: string;
  port?: number;
  identityFiles: string[];
  identitiesOnly: boolean;
  /** Path of the agent's socket, or false for `none`. */
  identityAgent?: string | false;
  knownHostsFiles?: string[];
  hostKeyAlias?: string;
  /** Jump hosts, first hop first; empty for `none`. */
  proxyJump?: TargetSpec[];
}

/** A configuration file that can be asked about hosts. */
export interface SshConfigFile {
  lookup(host: string, user?: string): Promise<HostConfig>;
}

/** Who asks, for `%` tokens, `~` and `Match localuser`. */
export interface ConfigContext {
  home: string;
  localUser: string;
}

/** The context of this process. */
export const systemContext = (): ConfigContext => ({ home: homedir(), localUser: userInfo().username });

const MAX_INCLUDE_DEPTH = 16;

interface Query {
  host: string;
  user: string | undefined;
  context: ConfigContext;
  base: string;
}

type Values = Map<string, string[][]>;

const words = (value: Directive['value']): string[] =>
  typeof value === 'string' ? [value] : value.map((word) => word.val);

const first = (values: Values, key: string): string[] | undefined => values.get(key)?.[0];

const isDirective = (line: Line): line is Directive => line.type === SSHConfig.DIRECTIVE;

const matchApplies = (line: Match, query: Query, values: Values): boolean => {
  const user = query.user ?? first(values, 'user')?.[0] ?? query.context.localUser;
  const subject: Record<string, string> = {
    host: first(values, 'hostname')?.[0] ?? query.host,
    originalhost: query.host,
    user,
    localuser: query.context.localUser,
  };
  return Object.entries(line.criteria).every(([rawKey, criterion]) => {
    const negated = rawKey.startsWith('!');
    const key = rawKey.replace(/^!/, '').toLowerCase();
    if (key === 'all') return !negated;
    const text = subject[key];
    // `exec` would run a shell command, `canonical` and `final` need a second pass: such blocks are left out.
    if (text === undefined) return false;
    const patterns = words(criterion).flatMap((word) => word.split(','));
    return matchesPatternList(patterns, text) !== negated;
  });
};

const collect = async (text: string, file: string, query: Query, values: Values, depth: number) => {
  const add = async (line: Directive): Promise<void> => {
    const key = line.param.toLowerCase();
    if (key === 'include') await include(words(line.value));
    else values.set(key, [...(values.get(key) ?? []), words(line.value)]);
  };
  const include = async (patterns: string[]): Promise<void> => {
    if (depth >= MAX_INCLUDE_DEPTH) {
      throw new FlynnError({
        code: 'usage',
        message: `${file} includes files more than ${MAX_INCLUDE_DEPTH} levels deep`,
      });
    }
    for (const pattern of patterns) {
      const path = expandHome(pattern, query.context.home);
      const absolute = isAbsolute(path) ? path : join(query.base, path);
      for (const found of await findFiles(absolute)) {
        const text = await readOptional(found);
        if (text !== undefined) await collect(text, found, query, values, depth + 1);
      }
    }
  };
  for (const line of parseConfig(text, file)) {
    if (!isDirective(line)) continue;
    const param = line.param.toLowerCase();
    if (param !== 'host' && param !== 'match') await add(line);
    else if (
      'criteria' in line
        ? matchApplies(line, query, values)
        : matchesPatternList(words(line.value), query.host)
    ) {
      for (const inner of 'config' in line ? line.config : []) if (isDirective(inner)) await add(inner);
    }
  }
};

const parseConfig = (text: string, file: string): SSHConfig => {
  try {
    return SSHConfig.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new FlynnError({ code: 'usage', message: `${file} is not a valid ssh_config: ${why}`, cause });
  }
};

const expandHome = (path: string, home: string): string =>
  path === '~' || path.startsWith('~/') ? join(home, path.slice(1)) : path;

const expand = (text: string, query: Query, hostName: string, port: number, user: string): string => {
  const tokens: Record<string, string> = {
    '%': '%',
    d: query.context.home,
    h: hostName,
    n: query.host,
    p: String(port),
    r: user,
    u: query.context.localUser,
  };
  return expandHome(text, query.context.home).replaceAll(/%(.)/g, (all, key: string) => tokens[key] ?? all);
};

const readPort = (text: string | undefined, host: string): number | undefined => {
  if (text === undefined) return undefined;
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw new FlynnError({ code: 'usage', message: `ssh_config gives '${host}' the port '${text}'` });
};

const evaluate = async (text: string, file: string, query: Query): Promise<HostConfig> => {
  const values: Values = new Map();
  await collect(text, file, query, values, 0);
  const one = (key: string): string | undefined => first(values, key)?.[0];
  const port = readPort(one('port'), query.host);
  const user = query.user ?? one('user');
  const hostName = one('hostname')?.replaceAll('%h', query.host).replaceAll('%%', '%');
  const path = (raw: string): string =>
    expand(raw, query, hostName ?? query.host, port ?? 22, user ?? query.context.localUser);
  const files = [first(values, 'userknownhostsfile'), first(values, 'globalknownhostsfile')];
  const agent = one('identityagent');
  const jump = one('proxyjump');
  return {
    hostName,
    user: one('user'),
    port,
    identityFiles: (values.get('identityfile') ?? [])
      .map((value) => value[0] ?? 'none')
      .filter((value) => value !== 'none')
      .map(path),
    identitiesOnly: one('identitiesonly')?.toLowerCase() === 'yes',
    identityAgent:
      agent === undefined || agent === 'SSH_AUTH_SOCK' ? undefined : agent === 'none' ? false : path(agent),
    knownHostsFiles: knownHostsFiles(files, query.context.home, path),
    hostKeyAlias: one('hostkeyalias'),
    proxyJump: jump === undefined ? undefined : parseJumps(jump),
  };
};

const knownHostsFiles = (
  [user, global]: (string[] | undefined)[],
  home: string,
  path: (raw: string) => string,
): string[] | undefined => {
  if (!user && !global) return undefined;
  const [userDefault, globalDefault] = defaultKnownHosts(home);
  return [...(user ?? userDefault ?? []), ...(global ?? globalDefault ?? [])]
    .flatMap((value) => value.split(/\s+/))
    .filter((value) => value !== 'none' && value !== '')
    .map(path);
};

/** Where OpenSSH keeps known hosts when nothing says otherwise: the user's files, then the machine's. */
export const defaultKnownHosts = (home: string): string[][] => [
  [join(home, '.ssh/known_hosts'), join(home, '.ssh/known_hosts2')],
  ['/etc/ssh/ssh_known_hosts', '/etc/ssh/ssh_known_hosts2'],
];

/** The jump hosts in `a,b@c:22` (or ssh:// URIs), first hop first; none for `none`. Throws `usage`. */
export const parseJumps = (text: string): TargetSpec[] =>
  text.toLowerCase() === 'none'
    ? []
    : text.split(',').map((part) =>
        parseTarget(
          part
            .trim()
            .replace(/^ssh:\/\//, '')
            .replace(/\/$/, ''),
        ),
      );

/** Reads ssh_config text; `file` names it in errors and is the base of relative includes. */
export const configFromText = (text: string, file: string, context: ConfigContext): SshConfigFile => ({
  lookup: (host, user) => evaluate(text, file, { host, user, context, base: dirname(file) }),
});

/** Reads a configuration file. A missing default file is an empty one, a missing named one is `usage`. */
export const loadConfig = async (
  path: string | false | undefined,
  context: ConfigContext,
): Promise<SshConfigFile> => {
  if (path === false) return configFromText('', 'ssh_config', context);
  const file = path ?? join(context.home, '.ssh/config');
  try {
    return configFromText(await readFile(file, 'utf8'), file, context);
  } catch (cause) {
    if (path === undefined && isAbsent(cause)) return configFromText('', file, context);
    throw new FlynnError({ code: 'usage', message: `cannot read the ssh_config ${file}`, cause });
  }
};

/**
 * A full target out of `[name=][user@]host[:port]`: what is not written comes from ssh_config, then from defaults
 * (port 22, `defaultUser`, the local user). An alias of ssh_config stays in `host`: connect resolves it.
 */
export const resolveTarget = async (
  spec: string | TargetSpec,
  opts: { config?: SshConfigFile; defaultUser?: string; context?: ConfigContext } = {},
): Promise<SshTarget> => {
  const parsed = typeof spec === 'string' ? parseTarget(spec) : spec;
  const found = await opts.config?.lookup(parsed.host, parsed.user);
  return {
    host: parsed.host,
    port: parsed.port ?? found?.port ?? 22,
    user: parsed.user ?? found?.user ?? opts.defaultUser ?? (opts.context ?? systemContext()).localUser,
    ...(parsed.name === undefined ? {} : { name: parsed.name }),
  };
};
