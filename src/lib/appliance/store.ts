// The store as an appliance opens it: with its own certificate, the local member first.
import { openStore, type EtcdStore } from '../store/index.js';
import type { ApplianceConfig, IdentityKind } from './config.js';

/** Opens etcd with the identity of that kind; nothing is connected before the first call. */
export function openApplianceStore(config: ApplianceConfig, kind: IdentityKind): Promise<EtcdStore> {
  return openStore({ endpoints: config.host().etcd, tls: config.identity(kind) });
}
