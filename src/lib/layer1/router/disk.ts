// The router's last state on disk: what it serves from when it starts while the store is away.
import { mkdir, open, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import type { Log } from '../../util/log.js';
import type { Table } from './state.js';

const StateFile = z.object({
  /** Revision of the store at which the table was read. */
  revision: z.number().int(),
  routes: z.record(z.string(), z.string()),
  services: z.record(
    z.string(),
    z.array(z.object({ id: z.string(), host: z.string(), address: z.string(), port: z.number().int() })),
  ),
  /** Hosts to probe: without them a router that starts offline would suspect nobody. */
  hosts: z.array(z.object({ name: z.string(), address: z.string() })),
});

/** A table with the revision it was read at and the hosts known then. */
export interface SavedState {
  revision: number;
  table: Table;
  hosts: { name: string; address: string }[];
}

/** The file's state, undefined when there is none or it cannot be read: then the router starts empty. */
export async function loadState(path: string, log: Log): Promise<SavedState | undefined> {
  try {
    const saved = StateFile.parse(JSON.parse(await readFile(path, 'utf8')));
    return {
      revision: saved.revision,
      hosts: saved.hosts,
      table: {
        routes: new Map(Object.entries(saved.routes)),
        services: new Map(Object.entries(saved.services)),
      },
    };
  } catch (error) {
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    log[absent ? 'info' : 'error']({ path, error: String(error) }, 'no last state on disk');
    return undefined;
  }
}

/** Replaces the file in one step. `durable` also waits until it would survive a power cut. */
export async function saveState(path: string, state: SavedState, durable: boolean): Promise<void> {
  const text = JSON.stringify({
    revision: state.revision,
    routes: Object.fromEntries(state.table.routes),
    services: Object.fromEntries([...state.table.services].map(([name, servers]) => [name, [...servers]])),
    hosts: state.hosts,
  } satisfies z.input<typeof StateFile>);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const fresh = `${path}.new`;
  if (durable) {
    const file = await open(fresh, 'w', 0o600);
    try {
      await file.writeFile(text);
      await file.datasync();
    } finally {
      await file.close();
    }
  } else {
    await writeFile(fresh, text, { mode: 0o600 });
  }
  await rename(fresh, path);
}
