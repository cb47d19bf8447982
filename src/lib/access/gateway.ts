// One SSH connection to whichever gateway answers first, made again when it is lost.
import { FlynnError, isFlynnError } from '../api/errors.js';
import type { AuthOptions, SshConnection, SshConnector } from '../ssh/port.js';
import type { Clock } from '../util/clock.js';
import { DeadlineError, deadline } from '../util/signal.js';
import { race, RaceLostError } from '../util/race.js';
import { parseGateway, type GatewayContext } from './context.js';

/** Figures of the way in, ms. A frozen gateway costs one stagger. */
const staggerMs = 250;
const openMs = 15_000;

/** Nobody but an admin can let a key in: a gateway has no file of keys to add it to. */
const refusedHint =
  'flynn keys:add KEY.pub   (by an admin of the cluster), or give a key that is in: FLYNN_SSH_KEY="$(cat KEY)"';

/** What a gateway connection is made with. */
export interface GatewayOptions {
  context: GatewayContext;
  connector: SshConnector;
  auth: AuthOptions;
  clock: Clock;
  /** False ignores ~/.ssh/config. */
  sshConfig?: string | false;
}

/** A connection to the cluster's gateways that stays usable while any of them lives. */
export class GatewayConnection {
  private current: Promise<SshConnection> | undefined;
  private readonly closing = new AbortController();

  constructor(private readonly options: GatewayOptions) {}

  /**
   * The live connection; opened when there is none. Throws `refused` when a gateway would not have us (or showed
   * another host key), `unreachable` when none answered.
   */
  async connection(): Promise<SshConnection> {
    const existing = await this.current?.catch(() => undefined);
    if (existing && !existing.closed) return existing;
    this.current = this.open();
    return this.current;
  }

  /** Ends the connection; a later call of `connection` fails. */
  async close(): Promise<void> {
    this.closing.abort(new FlynnError({ code: 'interrupted', message: 'the connection was closed' }));
    const open = await this.current?.catch(() => undefined);
    await open?.close();
  }

  private async open(): Promise<SshConnection> {
    const { context, connector, auth, clock, sshConfig } = this.options;
    const limit = deadline(clock, openMs, this.closing.signal, `a connection to cluster ${context.name}`);
    try {
      const { value } = await race<string, SshConnection>(context.gateways, {
        clock,
        staggerMs,
        signal: limit.signal,
        discard: (late) => void late.close(),
        // A TCP connect proves nothing: a frozen host's kernel still accepts. Only a finished handshake wins.
        attempt: async (gateway, signal) =>
          connector.connect(
            { ...parseGateway(gateway), user: 'git' },
            {
              hostKeys: { pinned: [context.fingerprint] },
              auth: { refusedHint, ...auth },
              signal,
              timeoutMs: openMs,
              ...(sshConfig === undefined ? {} : { sshConfig }),
            },
          ),
      });
      return value;
    } catch (error) {
      throw this.explain(error);
    } finally {
      limit.clear();
    }
  }

  private explain(error: unknown): unknown {
    const { context } = this.options;
    const failures = error instanceof RaceLostError ? error.failures : [];
    // Being refused says more than silence: the way there is fine, the key is not.
    const refused = failures.map((failure) => failure.error).find((each) => isFlynnError(each, 'refused'));
    if (refused) return refused;
    const own = failures.map((failure) => failure.error).find((each) => isFlynnError(each, 'usage'));
    if (own) return own;
    if (failures.length === 0 && !(error instanceof DeadlineError)) {
      if (context.gateways.length > 0) return error;
    }
    const each = failures.map((failure) =>
      failure.error instanceof Error ? failure.error.message : String(failure.error),
    );
    return new FlynnError({
      code: 'unreachable',
      message: `no gateway of cluster ${context.name} answers${each.length > 0 ? `: ${each.join('; ')}` : ` (${context.gateways.join(', ')})`}`,
      hint: `check that port ${context.gateways[0]?.split(':').at(-1) ?? 2222} of the cluster's hosts can be reached from here`,
      cause: error,
    });
  }
}
