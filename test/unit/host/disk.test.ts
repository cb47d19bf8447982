// The copy on disk: whole or not at all, readable by its owner only.
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileCopy } from '../../../src/lib/layer0/host/disk.js';
import { claim, jobId, web } from './world.js';

let dir: string;
let bad: unknown[];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'flynn-copy-'));
  bad = [];
});
afterEach(() => rm(dir, { recursive: true }));
const copies = () => fileCopy(join(dir, 'agent', 'state.json'), (error) => bad.push(error));

describe('the copy on disk', () => {
  it('given a saved copy, then it is read back as it was, from a file of mode 0600 with nothing beside it', async () => {
    const copy = { version: 1 as const, revision: 7, claims: { [jobId(1)]: claim() }, templates: { web } };
    await copies().save({ ...copy, revision: 6 });
    await copies().save(copy);
    expect(await copies().load()).toEqual(copy);
    expect((await stat(join(dir, 'agent', 'state.json'))).mode & 0o777).toBe(0o600);
    expect(await readdir(join(dir, 'agent'))).toEqual(['state.json']);
  });

  it('given no file, then there is no copy and no complaint; given half a file, then there is one', async () => {
    expect(await copies().load()).toBeUndefined();
    expect(bad).toEqual([]);
    await copies().save({ version: 1, revision: 1, claims: {}, templates: {} });
    await writeFile(join(dir, 'agent', 'state.json'), '{"version":1,"cla');
    expect(await copies().load()).toBeUndefined();
    expect(bad).toHaveLength(1);
  });
});
