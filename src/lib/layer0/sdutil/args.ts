// The command line of sdutil as values: flags are read up to the first word, the rest is somebody else's command. Pure.
import { FlynnError } from '../../api/errors.js';

/** A name to register with the port behind it. */
export interface Offer {
  name: string;
  port: number;
}

/** Where the wrapped program listens, when it is not on all addresses. */
export interface At {
  /** Address, by `-h`. */
  address?: string;
  /** Interface, by `-i`. */
  iface?: string;
}

/** A service that a program needs, and the variable that is to hold its address. */
export interface Need {
  env: string;
  service: string;
}

/** A template and the file that is made from it. */
export interface Rendering {
  template: string;
  dest: string;
}

/** What is to be done. */
export type Order =
  | { do: 'help' }
  | { do: 'check'; silent: boolean }
  | { do: 'services'; name: string | undefined; oldest: boolean }
  | { do: 'register'; offers: Offer[]; at: At }
  | { do: 'exec'; offers: Offer[]; at: At; argv: string[] }
  | { do: 'expose'; needs: Need[]; argv: string[] }
  | { do: 'configure'; renderings: Rendering[]; argv: string[] };

/** Shown by `sdutil help`. */
export const usage = `usage: sdutil COMMAND

  exec NAME:PORT COMMAND [ARG…]            run a server, registered while its port answers
  exec -s NAME:PORT [-s …] COMMAND [ARG…]  the same under several names
  register NAME:PORT [NAME:PORT…]          register what runs already, until INT or TERM
  services [-1] [NAME]                     addresses of a service, the oldest first; -1: of the oldest alone
  expose -d [ENV:]NAME [-d …] COMMAND      run with the addresses of services, again when they change
  configure -f TEMPLATE:DEST … COMMAND     run with files made of services, again when they change
  check [-s]                               whether discovery can be reached; -s says nothing

exec and register: -h ADDRESS or -i INTERFACE say where the server listens, if not on all addresses.
Jobs find discovery by FLYNN_DISCOVERY and FLYNN_TOKEN, root on a host by the agent's socket.
`;

const fault = (message: string): FlynnError =>
  new FlynnError({ code: 'usage', message, hint: 'sdutil help' });

const offerOf = (text: string): Offer => {
  const [, name = '', digits = ''] = /^([^:]+):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (!/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/.test(name) || port < 1 || port > 65535) {
    throw fault(`'${text}' is not NAME:PORT, such as www:8080`);
  }
  return { name, port };
};

const needOf = (text: string): Need => {
  const at = text.indexOf(':');
  const service = text.slice(at + 1);
  const env = at < 0 ? service.toUpperCase().replace(/[^A-Z0-9]/g, '_') : text.slice(0, at);
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(env) || !/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/.test(service)) {
    throw fault(`'${text}' is not [ENV:]SERVICE, such as DB:redis`);
  }
  return { env, service };
};

const renderingOf = (text: string): Rendering => {
  const at = text.indexOf(':');
  if (at < 1 || at === text.length - 1) throw fault(`'${text}' is not TEMPLATE:DEST`);
  return { template: text.slice(0, at), dest: text.slice(at + 1) };
};

/** Reads flags (`-s value`, `-1`) up to the first word or `--`. */
const flagsOf = (
  words: readonly string[],
  valued: string,
  plain = '',
): { flags: [string, string][]; rest: string[] } => {
  const flags: [string, string][] = [];
  let i = 0;
  for (; i < words.length; i++) {
    const word = words[i] ?? '';
    if (word === '--') return { flags, rest: words.slice(i + 1) };
    if (!/^-./.test(word)) break;
    const letter = word.slice(1);
    if (letter.length === 1 && plain.includes(letter)) flags.push([letter, '']);
    else if (letter.length === 1 && valued.includes(letter)) {
      const value = words[++i];
      if (value === undefined) throw fault(`${word} needs a value`);
      flags.push([letter, value]);
    } else throw fault(`there is no flag ${word} here`);
  }
  return { flags, rest: words.slice(i) };
};

const all = (flags: [string, string][], letter: string): string[] =>
  flags.filter(([name]) => name === letter).map(([, value]) => value);
const last = (flags: [string, string][], letter: string): string | undefined => all(flags, letter).at(-1);

const atOf = (flags: [string, string][]): At => {
  const [address, iface] = [last(flags, 'h'), last(flags, 'i')];
  if (address !== undefined && iface !== undefined) throw fault('-h and -i exclude each other');
  return { ...(address === undefined ? {} : { address }), ...(iface === undefined ? {} : { iface }) };
};

const commandOf = (rest: readonly string[], what: string): string[] => {
  if (rest.length === 0) throw fault(`${what} needs a command to run`);
  return [...rest];
};

/** The order of a command line. Throws `usage`. */
export const parseArgs = (words: readonly string[]): Order => {
  const [command = 'help', ...given] = words;
  switch (command) {
    case 'exec': {
      const { flags, rest } = flagsOf(given, 'shi');
      const named = all(flags, 's').map(offerOf);
      if (named.length > 0) {
        return { do: 'exec', offers: named, at: atOf(flags), argv: commandOf(rest, 'exec') };
      }
      const [first, ...argv] = rest;
      if (first === undefined) throw fault('exec needs NAME:PORT and a command to run');
      return { do: 'exec', offers: [offerOf(first)], at: atOf(flags), argv: commandOf(argv, 'exec') };
    }
    case 'register': {
      const { flags, rest } = flagsOf(given, 'shi');
      const offers = [...all(flags, 's'), ...rest].map(offerOf);
      if (offers.length === 0) throw fault('register needs NAME:PORT');
      return { do: 'register', offers, at: atOf(flags) };
    }
    case 'services': {
      const { flags, rest } = flagsOf(given, '', '1');
      if (rest.length > 1) throw fault('services takes one name');
      const oldest = flags.length > 0;
      if (oldest && rest.length === 0) throw fault('services -1 needs a name');
      return { do: 'services', name: rest[0], oldest };
    }
    case 'expose': {
      const { flags, rest } = flagsOf(given, 'd');
      const needs = all(flags, 'd').map(needOf);
      if (needs.length === 0) throw fault('expose needs -d [ENV:]SERVICE');
      return { do: 'expose', needs, argv: commandOf(rest, 'expose') };
    }
    case 'configure': {
      const { flags, rest } = flagsOf(given, 'f');
      const renderings = all(flags, 'f').map(renderingOf);
      if (renderings.length === 0) throw fault('configure needs -f TEMPLATE:DEST');
      return { do: 'configure', renderings, argv: commandOf(rest, 'configure') };
    }
    case 'check': {
      const { flags, rest } = flagsOf(given, '', 's');
      if (rest.length > 0) throw fault('check takes no words');
      return { do: 'check', silent: flags.length > 0 };
    }
    case 'help':
    case '--help':
    case '-h':
      return { do: 'help' };
    default:
      throw fault(`there is no command '${command}'`);
  }
};
