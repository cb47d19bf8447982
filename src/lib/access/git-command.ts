// What git asks of its ssh program: options, a host and a command, read as ssh reads them. Pure.
import { FlynnError } from '../api/errors.js';
import { parseGateway, type GatewayAddress } from './context.js';

/** An ssh command line as git makes it. */
export interface SshRequest {
  user?: string;
  host: string;
  port?: number;
  /** What is to run there; empty when nothing was named. */
  command: string;
  /** Git asks whether this program knows OpenSSH's options. */
  asksConfig: boolean;
}

/** Options of ssh that take a value. */
const valued = 'bBcDEeFIiJLlmoOpPQRSWw';

/** Reads ssh's arguments. Throws `usage` when no host is among them. */
export function parseSshArguments(argv: readonly string[]): SshRequest {
  const given: { user?: string; port?: number; asksConfig: boolean } = { asksConfig: false };
  let at = 0;
  for (; at < argv.length; at++) {
    const word = argv[at] ?? '';
    if (word === '--') {
      at += 1;
      break;
    }
    if (!word.startsWith('-') || word === '-') break;
    // Letters without a value may stand together: -4v, -tp22.
    const letter = [...word.slice(1)].findIndex((each) => valued.includes(each));
    const flags = letter < 0 ? word.slice(1) : word.slice(1, letter + 1);
    if (flags.includes('G')) given.asksConfig = true;
    if (letter < 0) continue;
    const option = word[letter + 1];
    const value = word.slice(letter + 2) || (argv[++at] ?? '');
    if (option === 'p') given.port = Number(value);
    if (option === 'l') given.user = value;
  }
  const target = argv[at];
  if (target === undefined || target === '') {
    throw new FlynnError({
      code: 'usage',
      message: 'git named no host to go to',
      hint: 'git push flynn main   (git calls this command by itself)',
    });
  }
  const split = target.lastIndexOf('@');
  const user = split >= 0 ? target.slice(0, split) : given.user;
  return {
    asksConfig: given.asksConfig,
    host: target.slice(split + 1),
    command: argv.slice(at + 1).join(' '),
    ...(user === undefined ? {} : { user }),
    ...(given.port === undefined ? {} : { port: given.port }),
  };
}

/** The user of the remotes that `apps:create` makes. */
export const remoteUser = 'flynn';

/**
 * Whether a request is for one of these gateways: it names one, or it is from a remote of ours whose gateway has
 * moved to another host since.
 */
export function leadsTo(gateways: readonly string[], request: SshRequest): boolean {
  const port = request.port ?? 22;
  const known: GatewayAddress[] = gateways.map(parseGateway);
  return known.some(
    (gateway) =>
      gateway.port === port &&
      (gateway.host.toLowerCase() === request.host.toLowerCase() || request.user === remoteUser),
  );
}

/** The words of git's command, `git-receive-pack '/hello.git'`. Throws `usage` for what is no push. */
export function pushArgv(command: string): string[] {
  const match = /^(?:git-receive-pack|git receive-pack) (?:'([^']*)'|([^\s'"\\]+))$/.exec(command);
  const path = match?.[1] ?? match?.[2];
  if (path !== undefined) return ['git-receive-pack', path];
  const reads = /^git[- ]upload-(pack|archive)\b/.test(command);
  throw new FlynnError({
    code: 'usage',
    message: reads
      ? 'a cluster takes pushes and keeps no repository to fetch from'
      : `a gateway does not run '${command.slice(0, 60)}'`,
    hint: reads
      ? 'fetch from where the team keeps the sources, and push to flynn'
      : 'git push flynn main   (or flynn run for a command in an app)',
  });
}
