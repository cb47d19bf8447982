// Which hosts carry etcd and the control plane, and what a host must have for it. Pure.

const MiB = 1024 * 1024;

/** What a host may be beside a worker. */
export type HostRole = 'control' | 'etcd';

/** Kept back on every host for etcd and the agent: MiB and millicores. */
export const systemReserve = { memoryMiB: 384, cpuMillis: 200 } as const;

/** What the appliances of a host reserve: MiB. */
export const applianceMemory = {
  sampi: 96,
  controller: 160,
  gateway: 96,
  registry: 96,
  router: 128,
  dns: 16,
} as const;

/** Memory that a host needs to be of use: reserve and appliances (those of Layer 0 alone, if so), in bytes. */
export function memoryNeeded(roles: readonly HostRole[], layer0 = false): number {
  const { sampi, controller, gateway, registry, router, dns } = applianceMemory;
  const platform = layer0 ? 0 : controller + gateway + registry;
  const control = roles.includes('control') ? sampi + platform : 0;
  return (systemReserve.memoryMiB + dns + (layer0 ? 0 : router) + control) * MiB;
}

/**
 * Roles by position: one or two hosts have etcd on the first and control on all, three or more have both on the
 * first three. Two members of etcd would survive less than one does.
 */
export function rolesAt(index: number, total: number): HostRole[] {
  const etcd = total >= 3 ? index < 3 : index === 0;
  const control = index < 3;
  return [...(control ? (['control'] as const) : []), ...(etcd ? (['etcd'] as const) : [])];
}
