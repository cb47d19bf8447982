// Keeps the rules as they should be: applies them on news, and looks every few seconds whether they still are there.
import type { Docker } from '../../../docker/port.js';
import type { Clock } from '../../../util/clock.js';
import type { Log } from '../../../util/log.js';
import { toolOf, type Netfilter } from './netfilter.js';
import { planFirewall, variants, type FirewallPlan, type SeenTable } from './plan.js';
import { parseSaved } from './saved.js';

/** What the keeper needs. */
export interface KeeperDeps {
  netfilter: Netfilter;
  docker: Pick<Docker, 'networks'>;
  /** Addresses of the members; undefined as long as too little is known to keep anybody out. */
  members(): readonly string[] | undefined;
  clock: Clock;
  log: Log;
}

/** Time between looks, ms: what somebody else flushed is back after that. A restart of dockerd is news, and looked at at once. */
export const checkEveryMs = 60_000;
/** Bound of asking Docker for its networks, ms. */
const networksMs = 5_000;
/** The bridge that Docker's containers are on where nothing else was said. */
const defaultBridge = 'docker0';

/** Keeps the rules of one host. Nothing it meets is thrown: it is logged, told, and tried again. */
export class FirewallKeeper {
  private bridges: readonly string[] = [defaultBridge];
  private bridgeAddresses: readonly string[] = [];
  private working = false;
  private again = false;
  /** Tools that could read before. */
  private readonly worked = new Set<string>();
  private trouble: string | undefined = 'not applied yet';

  constructor(private readonly deps: KeeperDeps) {}

  /** What is wrong at present; undefined when the rules are as they should be. */
  problem(): string | undefined {
    return this.trouble;
  }

  /** Looks now and then every few seconds, until the signal is aborted. Rules stay as they are after that. */
  start(signal: AbortSignal): void {
    const cancel = this.deps.clock.every(checkEveryMs, () => this.kick(signal));
    signal.addEventListener('abort', cancel, { once: true });
    this.kick(signal);
  }

  /** Has a look taken soon: after news of the members, or of Docker. */
  kick(signal: AbortSignal): void {
    if (signal.aborted) return;
    this.again = true;
    if (!this.working) void this.work(signal);
  }

  private async work(signal: AbortSignal): Promise<void> {
    this.working = true;
    while (this.again && !signal.aborted) {
      this.again = false;
      const trouble = await this.bring(signal).catch((error: unknown) =>
        error instanceof Error ? error.message : String(error),
      );
      if (!signal.aborted) this.tell(trouble);
    }
    this.working = false;
  }

  private tell(trouble: string | undefined): void {
    if (trouble !== this.trouble) {
      if (trouble === undefined) this.deps.log.info({}, 'the firewall is up');
      else this.deps.log.error({ problem: trouble }, 'the firewall is not as it should be, trying again');
    }
    this.trouble = trouble;
  }

  /** Changes what differs; returns what is still wrong. */
  private async bring(signal: AbortSignal): Promise<string | undefined> {
    const members = this.deps.members();
    if (!members) return 'the members of the cluster are not known yet';
    await this.askBridges(signal);
    const plan = async (): Promise<FirewallPlan> =>
      planFirewall(await this.look(signal), {
        ...{ members, bridges: this.bridges, bridgeAddresses: this.bridgeAddresses },
      });
    const { changes, problem } = await plan();
    for (const { text, ...table } of changes) {
      await this.deps.netfilter.restore(table, text, signal);
      this.deps.log.info({ ...table, members: members.length }, 'firewall rules written');
    }
    if (changes.length > 0 && (await plan()).changes.length > 0)
      return 'rules do not stay as they were written';
    return problem;
  }

  private async look(signal: AbortSignal): Promise<SeenTable[]> {
    const tables = ([4, 6] as const).flatMap((family) => variants.map((variant) => ({ family, variant })));
    const texts = await Promise.all(tables.map((table) => this.deps.netfilter.save(table, signal)));
    return tables.flatMap((table, i) => {
      const text = texts[i];
      const tool = toolOf(table);
      if (text !== undefined) this.worked.add(tool);
      // What Docker's filter holds is not known then: another one must not be taken for it.
      else if (this.worked.has(tool)) throw new Error(`${tool} does not tell its rules any more`);
      return text === undefined ? [] : [{ ...table, saved: parseSaved(text) }];
    });
  }

  /** While Docker does not answer, its bridges are the ones that it had. */
  private async askBridges(signal: AbortSignal): Promise<void> {
    try {
      const networks = await this.deps.docker.networks.list({ timeoutMs: networksMs, signal });
      const bridged = networks.filter(({ driver }) => driver === 'bridge');
      this.bridges = bridged.map(({ bridge, id }) => bridge ?? `br-${id.slice(0, 12)}`);
      this.bridgeAddresses = bridged.flatMap(({ gateways }) => gateways);
    } catch (error) {
      this.deps.log.debug({ error: String(error) }, 'docker did not tell its networks');
    }
  }
}
