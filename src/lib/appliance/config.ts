// What an appliance finds on its host: who it is, where etcd is, and its certificate.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { FlynnError } from '../api/errors.js';
import { HostName } from '../api/names.js';

/** `common/host.json`, written by bootstrap and add-host. */
export const HostFile = z.object({
  cluster: z.object({ id: z.string(), name: z.string() }),
  host: HostName,
  /** Address the other hosts reach it at. */
  address: z.string(),
  publicAddress: z.string(),
  roles: z.array(z.enum(['control', 'etcd'])),
  /** `https://address:2379`, the local member first. */
  etcd: z.array(z.string()).min(1),
  /** Capacity that replaces what the machine reports (several hosts on one machine). */
  capacity: z.object({ memoryMiB: z.number().int(), cpuMillis: z.number().int() }).optional(),
  httpPort: z.number().int().default(80),
  httpsPort: z.number().int().default(443),
  gatewayPort: z.number().int().default(2222),
});
export type HostFile = z.infer<typeof HostFile>;

/** Directories below the root (`/etc/flynn`): each appliance mounts `common` and its own, build jobs `trust`, read-only. */
export const configDirs = {
  common: 'common', // host.json, ca.crt
  host: 'host', // host.crt, host.key (CN host-NAME), wrap.key (X25519, base64)
  router: 'router', // router.crt, router.key (CN router)
  etcd: 'etcd', // server.crt, server.key
  trust: 'trust', // ca.crt: authorities that builds of apps trust, where an operator brought some
  control: 'control', // control.crt, control.key (CN control), cluster.key (base64), ca.key, gateway_host_key
} as const;

/** Where things lie on a host. */
export const hostPaths = { config: '/etc/flynn', data: '/var/lib/flynn' } as const;

/** A certificate with its key and the authority that both sides trust; PEM. */
export interface Identity {
  ca: string;
  cert: string;
  key: string;
}

/** The kinds of identity an appliance can have; also the names of their files. */
export type IdentityKind = 'host' | 'router' | 'control';

/** Reads files below the configuration root; `root` is `/etc/flynn` except in tests. */
export class ApplianceConfig {
  constructor(readonly root: string = process.env.FLYNN_CONFIG ?? hostPaths.config) {}

  /** `common/host.json`; throws `missing` when the host was not bootstrapped. */
  host(): HostFile {
    return HostFile.parse(JSON.parse(this.file(configDirs.common, 'host.json')));
  }

  /** Certificate and key of a kind. */
  identity(kind: IdentityKind): Identity {
    return {
      ca: this.file(configDirs.common, 'ca.crt'),
      cert: this.file(kind, `${kind}.crt`),
      key: this.file(kind, `${kind}.key`),
    };
  }

  /** Text of a file in one of the directories; throws `missing`, naming the file. */
  file(dir: string, name: string): string {
    const path = join(this.root, dir, name);
    try {
      return readFileSync(path, 'utf8');
    } catch (cause) {
      throw new FlynnError({
        code: 'missing',
        message: `${path} cannot be read`,
        hint: 'flynn cluster bootstrap   (run it again: it writes what is missing)',
        cause,
      });
    }
  }
}
