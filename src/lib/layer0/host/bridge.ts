// The address at which containers of Docker's default network find this host.
import type { Docker } from '../../docker/port.js';

/** The default network, as every engine names it. */
const network = 'bridge';
const askMs = 5_000;

/** The host's address and interface on it. */
export interface Bridge {
  address: string;
  name: string;
}

/** The first address of a subnet such as `172.17.0.0/16`: Docker takes it when it was told no gateway. IPv4 alone. */
const firstOf = (subnet: string | undefined): string | undefined => {
  const [, net, last] = /^(\d+\.\d+\.\d+)\.(\d+)\/\d+$/.exec(subnet ?? '') ?? [];
  return net === undefined ? undefined : `${net}.${Number(last) + 1}`;
};

/** Asks Docker once; undefined where the engine was started without a default bridge. Throws when it does not answer. */
export const findBridge = (docker: Pick<Docker, 'networks'>): (() => Promise<Bridge | undefined>) => {
  let known: Bridge | undefined;
  return async () => {
    if (known) return known;
    const all = await docker.networks.list({ timeoutMs: askMs });
    const found = all.find(({ name, driver }) => name === network && driver === 'bridge');
    const address = found?.gateways.find((one) => !one.includes(':')) ?? firstOf(found?.subnets[0]);
    if (address) known = { address, name: found?.bridge ?? 'docker0' };
    return known;
  };
};
