// The agent's copy of its claims and their templates on disk: what a host starts from while etcd is away.
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { Claim, JobTemplate } from '../../api/job.js';
import { keys } from '../../api/keys.js';
import type { HostState } from './state.js';

const Copy = z.object({
  version: z.literal(1),
  /** Revision of the store that the claims were read at: one that went back shows a restored store. */
  revision: z.number().int(),
  claims: z.record(z.string(), Claim),
  templates: z.record(z.string(), JobTemplate),
});

/** What is kept: claims by job id, templates by hash. Secrets in it are wrapped to the host and sealed. */
export type DiskCopy = z.infer<typeof Copy>;

/** Where the copy is kept. */
export interface CopyStore {
  /** The last whole copy; undefined when there is none or it cannot be read. */
  load(): Promise<DiskCopy | undefined>;
  /** Replaces the copy: after a crash at any moment either the old or the new one is there, whole. */
  save(copy: DiskCopy): Promise<void>;
}

/** A copy in a file of mode 0600. `onBad` is told why a file was not used. */
export const fileCopy = (path: string, onBad: (error: unknown) => void): CopyStore => ({
  load: async () => {
    try {
      return Copy.parse(JSON.parse(await readFile(path, 'utf8')));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') onBad(error);
      return undefined;
    }
  },
  save: (copy) => writeWhole(path, JSON.stringify(copy)),
});

/** Replaces a file of mode 0600, and makes its directory: after a crash the old content or the new is there, whole. */
export const writeWhole = async (path: string, text: string): Promise<void> => {
  const dir = dirname(path);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const temp = `${path}.new`;
  const file = await open(temp, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temp, path);
  // The rename itself must reach the disk, or a power cut brings the old copy back.
  const folder = await open(dir, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
};

/** What is worth keeping of the state, and drops templates from it that nothing names any more. */
export const copyOf = (state: HostState, revision: number): DiskCopy => {
  const prefix = keys.claimsAt(state.host.name);
  const claims = Object.fromEntries(
    [...state.claims.entries()].map(([key, kept]) => [key.slice(prefix.length), kept.value]),
  );
  const named = new Set(Object.values(claims).map((claim) => claim.t));
  for (const omni of state.omnis.values()) named.add(omni.template);
  for (const hash of [...state.templates.keys()]) if (!named.has(hash)) state.templates.delete(hash);
  return { version: 1, revision, claims, templates: Object.fromEntries(state.templates) };
};

/** Takes a copy over into a state that has heard nothing of the store yet. */
export const seedFrom = (state: HostState, copy: DiskCopy, startsAt: number): void => {
  if (state.claimsFrom !== 'none') return;
  for (const [job, claim] of Object.entries(copy.claims)) {
    state.claims.seed(keys.claim(state.host.name, job), claim);
  }
  for (const [hash, template] of Object.entries(copy.templates)) state.templates.set(hash, template);
  state.claimsFrom = 'disk';
  state.diskStartsAt = startsAt;
};
