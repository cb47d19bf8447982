// Named volumes of hosts: data that outlives the jobs that write it.
import { z } from 'zod';
import { HostName } from './names.js';

/** A volume's name: unique on its host. */
export const VolumeName = z
  .string()
  .max(63, 'a volume name has at most 63 characters')
  .regex(
    /^[a-z0-9]+([._-][a-z0-9]+)*$/,
    'a volume name is lower-case letters, digits and single dots, hyphens and underscores between them',
  );

/** A volume that is on a host, under `volumes/HOST/NAME`. Written and deleted by the host's agent only. */
export const VolumeRecord = z.object({
  name: VolumeName,
  host: HostName,
  /** Whose jobs may mount it, as `volumeOwner` tells; empty: everybody's. */
  owner: z.string().max(80),
  /** ms since 1970. */
  createdAt: z.number(),
  /** Bytes that it is meant to hold at most; told, not enforced by the file system. */
  sizeLimit: z.number().int().min(1).optional(),
});
export type VolumeRecord = z.infer<typeof VolumeRecord>;

/**
 * The owner of the volumes of a claim's owner: its first two parts, so that `app/hello/3/db` and `app/hello/4/db`
 * find the same data.
 */
export const volumeOwner = (claimOwner: string): string => claimOwner.split('/').slice(0, 2).join('/');
