// Who belongs to the cluster, by address: from the store, and while it is away from the copy on disk.
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { HostInfo } from '../../../api/grid.js';
import type { HostFile } from '../../../appliance/config.js';
import type { Clock } from '../../../util/clock.js';
import type { Log } from '../../../util/log.js';
import { writeWhole } from '../disk.js';
import { etcdHosts, type HostInfos } from '../host-infos.js';

/** What is known of the members. */
export interface Members {
  /** Addresses, ascending; undefined as long as too little is known to keep anybody out. */
  now(): readonly string[] | undefined;
}

/** What a list of the store says, and how far it can be relied upon. */
export interface Listed {
  addresses: readonly string[];
  /** The list is whole and of the cluster that we know: who is not on it is no member. */
  whole: boolean;
}

/**
 * The members after a list. A list that is not whole takes nobody away: a member that is shut out by mistake costs
 * more than one that is let in for too long.
 */
export const membersAfter = (known: readonly string[], own: string, listed: Listed): string[] =>
  [...new Set([own, ...listed.addresses, ...(listed.whole ? [] : known)])].sort();

/** How long (ms) the store has to tell the members to an agent that has no copy of them. */
export const membersGraceMs = 10_000;

const Copy = z.object({ version: z.literal(1), members: z.array(z.string()) });

/** Where the addresses of the members are kept for a start without the store. */
export interface MembersCopy {
  /** What was kept last; nothing when there is no such copy, or it cannot be read. */
  load(): Promise<string[]>;
  save(members: readonly string[]): Promise<void>;
}

/** A copy in a file. `onBad` is told why a file was not used. */
export const membersFile = (path: string, onBad: (error: unknown) => void): MembersCopy => ({
  load: async () => {
    try {
      return Copy.parse(JSON.parse(await readFile(path, 'utf8'))).members;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') onBad(error);
      return [];
    }
  },
  save: (members) => writeWhole(path, JSON.stringify({ version: 1, members })),
});

/** What following the members takes. */
export interface MembersDeps {
  hosts: HostInfos;
  file: Pick<HostFile, 'host' | 'address' | 'etcd'>;
  copy: MembersCopy;
  clock: Clock;
  log: Log;
  /** Called when the members changed, or became known later on. */
  changed(): void;
}

/** Follows the members until the signal is aborted; when it resolves, the copy of them was read. */
export const followMembers = async (deps: MembersDeps, signal: AbortSignal): Promise<Members> => {
  const { hosts, file, clock, log } = deps;
  const atFirst = etcdHosts(file);
  let known: readonly string[] | undefined;
  let restored = false;
  let saving = Promise.resolve();
  const kept = await deps.copy.load();

  const take = (addresses: readonly string[]): void => {
    if (known && known.join() === addresses.join()) return;
    log.info({ members: addresses, before: known }, 'members of the cluster');
    known = addresses;
    deps.changed();
  };
  const keep = (): void => {
    const members = known ?? [];
    saving = saving
      .then(() => deps.copy.save(members))
      .catch((error: unknown) => log.error({ error: String(error) }, 'the members cannot be written down'));
  };
  const fromStore = (): void => {
    const infos = hosts.infos();
    const before = known;
    // A store without our own record was emptied, or is another one.
    const own = infos.some(({ name }: HostInfo) => name === file.host);
    const whole = own && !restored && !hosts.unreadable();
    const addresses = infos.map(({ address }) => address);
    take(membersAfter(known ?? [...kept, ...atFirst], file.address, { addresses, whole }));
    if (known !== before) keep();
  };

  if (kept.length > 0) known = membersAfter([...kept, ...atFirst], file.address, nothing);
  const cancel = clock.after(membersGraceMs, () => {
    if (!known) take(membersAfter(atFirst, file.address, nothing));
  });
  signal.addEventListener('abort', cancel, { once: true });
  hosts.onRegress(() => (restored = true));
  hosts.onChange(() => hosts.listed() && fromStore());
  hosts.ready.then(fromStore, () => undefined);
  return { now: () => known };
};

const nothing: Listed = { addresses: [], whole: false };
