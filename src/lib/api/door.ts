// The operator's door on every host: what it says of itself, and how the rest of the grid is reached through it.
import { z } from 'zod';
import { HostName } from './names.js';

/** Path of the door's socket below the data directory of a host. */
export const doorSocket = 'door/api.sock';

/** `GET /` at the door. `/hosts/NAME/…` is the API of that host's agent, `/sampi/…` that of a live Sampi. */
export const DoorInfo = z.object({
  cluster: z.object({ id: z.string(), name: z.string() }),
  /** The host whose door it is. */
  host: HostName,
  /** `control`: what comes through it may change the grid; `host`: it may change this host, and read the others. */
  rights: z.enum(['control', 'host']),
  /** Hosts on record, as this agent last heard of them. */
  hosts: z.array(z.object({ name: HostName, address: z.string(), roles: z.array(z.string()) })),
  etcd: z.object({
    members: z.number().int(),
    healthy: z.boolean(),
    dbSizeBytes: z.number(),
    alarms: z.array(z.string()),
  }),
});
export type DoorInfo = z.infer<typeof DoorInfo>;
