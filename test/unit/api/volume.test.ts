// Names and owners of volumes.
import { describe, expect, it } from 'vitest';
import { VolumeName, VolumeRecord, volumeOwner } from '../../../src/lib/api/volume.js';

describe('a volume', () => {
  it.each(['data', 'hello-db', 'pg_14.main', '0'])('may be called %s', (name) => {
    expect(VolumeName.parse(name)).toBe(name);
  });

  it.each(['', '-x', 'x-', 'a..b', 'Data', '../etc', 'a/b', 'a b', 'x'.repeat(64)])(
    'may not be called %j',
    (name) => {
      expect(VolumeName.safeParse(name).success).toBe(false);
    },
  );

  it('belongs to what its jobs have in common over their releases', () => {
    expect(volumeOwner('app/hello/3/db')).toBe('app/hello');
    expect(volumeOwner('app/hello/4/db')).toBe('app/hello');
    expect(volumeOwner('omni/registry')).toBe('omni/registry');
    expect(volumeOwner('mine')).toBe('mine');
  });

  it('has a record without a limit, or with one that is a size', () => {
    const record = { name: 'data', host: 'a', owner: 'app/hello', createdAt: 1 };
    expect(VolumeRecord.parse(record)).toEqual(record);
    expect(VolumeRecord.safeParse({ ...record, sizeLimit: 0 }).success).toBe(false);
  });
});
