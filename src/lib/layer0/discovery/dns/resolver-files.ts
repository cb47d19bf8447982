// What the resolver of a host reads by itself: its settings, and a file of addresses for each service.
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { addressName, domain, hostsLines, type NameSource } from './names.js';

/** File of the names of addresses; no service is called like that. */
const addressesFile = '_addresses';
const hostsDir = 'hosts';

/** Where the resolver listens, and where it asks for names of ours that it does not know. */
export interface ResolverPlace {
  /** Interface of the containers: nothing that comes in by another is answered. */
  interface: string;
  /** Port of the agent's name server on loopback. */
  port: number;
}

/** Seconds for which an answer that has run out is still given, while a new one is fetched (PROTOCOLS, "stale cache on"). */
const staleSeconds = 3_600;

/** dnsmasq's settings. Names with an address it reads from files; the rest of `.flynn` comes from the agent. Pure. */
export const resolverConfig = (dir: string, place: ResolverPlace): string =>
  [
    `interface=${place.interface}`,
    'except-interface=lo',
    // The interface may come, go and come back with another address: Docker makes it.
    'bind-dynamic',
    'no-hosts',
    `hostsdir=${join(dir, hostsDir)}`,
    `server=/${domain}/127.0.0.1#${place.port}`,
    `use-stale-cache=${staleSeconds}`,
    'cache-size=10000',
    'dns-forward-max=1000',
    'user=root',
    'pid-file=',
    'log-facility=-',
    '',
  ].join('\n');

/** Keeps the files of a resolver. */
export class ResolverFiles {
  /** What each file has, as far as we have written or read it. */
  private readonly has = new Map<string, string>();
  private turn: Promise<void> = Promise.resolve();

  constructor(private readonly dir: string) {}

  /** Writes the settings; true when they were others before. */
  async configure(place: ResolverPlace): Promise<boolean> {
    await mkdir(join(this.dir, hostsDir), { recursive: true, mode: 0o755 });
    const text = resolverConfig(this.dir, place);
    const path = join(this.dir, 'dnsmasq.conf');
    const before = await readFile(path, 'utf8').catch(() => undefined);
    if (before === text) return false;
    await replace(this.dir, 'dnsmasq.conf', text);
    return before !== undefined;
  }

  /** Brings the files of these services up to date; without names those of all, and removes the others. */
  sync(source: NameSource, names?: Iterable<string>): Promise<void> {
    const mine = this.turn.then(() => this.write(source, names));
    this.turn = mine.catch(() => undefined);
    return mine;
  }

  private async write(source: NameSource, names?: Iterable<string>): Promise<void> {
    const dir = join(this.dir, hostsDir);
    await mkdir(dir, { recursive: true, mode: 0o755 });
    const wanted = new Set(names ?? source.names());
    if (!names) {
      for (const name of await readdir(dir)) {
        if (!name.startsWith('.')) this.has.set(name, await readFile(join(dir, name), 'utf8'));
      }
      for (const name of this.has.keys()) if (name !== addressesFile) wanted.add(name);
    }
    // Names of addresses first: what leads to them is of no use without.
    await this.put(dir, addressesFile, addressLines(source));
    for (const name of wanted) await this.put(dir, name, hostsLines(source.view(name)));
  }

  private async put(dir: string, name: string, lines: readonly string[]): Promise<void> {
    const text = lines.map((line) => `${line}\n`).join('');
    if ((this.has.get(name) ?? '') === text) return;
    if (text === '') await rm(join(dir, name), { force: true });
    else await replace(dir, name, text);
    if (text === '') this.has.delete(name);
    else this.has.set(name, text);
  }
}

const addressLines = (source: NameSource): string[] => {
  const all = new Set<string>();
  for (const name of source.names()) for (const { address } of source.view(name).instances) all.add(address);
  return [...all].sort().map((address) => `${address} ${addressName(address)}`);
};

/** Whoever reads the file sees the old one or the new; the resolver passes over names that begin with a dot. */
const replace = async (dir: string, name: string, text: string): Promise<void> => {
  const temp = join(dir, `.${name}`);
  await writeFile(temp, text, { mode: 0o644 });
  await rename(temp, join(dir, name));
};
