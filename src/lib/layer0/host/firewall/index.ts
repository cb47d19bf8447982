// The host's firewall as the agent runs it: members followed, rules kept. And what takes it away again.
import type { HostFile } from '../../../appliance/config.js';
import type { Docker } from '../../../docker/port.js';
import type { Clock } from '../../../util/clock.js';
import type { Log } from '../../../util/log.js';
import type { HostInfos } from '../host-infos.js';
import { FirewallKeeper } from './keeper.js';
import { followMembers, type MembersCopy } from './members.js';
import { localTools, netfilterOver, type Netfilter } from './netfilter.js';

export { membersFile } from './members.js';
export { removeFirewall } from './remove.js';

/** What the firewall of a host needs. */
export interface FirewallDeps {
  hosts: HostInfos;
  file: Pick<HostFile, 'host' | 'address' | 'etcd'>;
  docker: Pick<Docker, 'networks'>;
  clock: Clock;
  log: Log;
  /** Where the members are kept. */
  copy: MembersCopy;
  /** Where the host's lock of iptables is seen from here; absent: where it always is. */
  lock?: string;
  /** Absent: this machine's own. */
  netfilter?: Netfilter;
}

/** A firewall that is kept. */
export interface Firewall {
  /** What is wrong at present; undefined when nothing is. */
  problem(): string | undefined;
  /** Makes a callback that, called after any change of the state, has the rules looked at when Docker came back. */
  dockerNews(state: { readonly dockerUp: boolean }): () => void;
}

/** Keeps the firewall until the signal is aborted; the rules stay after that. Never throws. */
export const startFirewall = async (deps: FirewallDeps, signal: AbortSignal): Promise<Firewall> => {
  const { clock, log, docker } = deps;
  const keeper = new FirewallKeeper({
    netfilter: deps.netfilter ?? netfilterOver(localTools(deps.lock)),
    ...{ docker, clock, log, members: () => members.now() },
  });
  const members = await followMembers({ ...deps, changed: () => keeper.kick(signal) }, signal);
  keeper.start(signal);
  return {
    problem: () => keeper.problem(),
    dockerNews: (state) => {
      let was = state.dockerUp;
      return () => {
        if (state.dockerUp && !was) keeper.kick(signal);
        was = state.dockerUp;
      };
    },
  };
};
