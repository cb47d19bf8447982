// One SSH connection: whose key it proved, and the two commands that it is served.
import ssh2, { type AuthContext, type Connection, type ServerChannel, type Session } from 'ssh2';
import type { Server as HttpServer } from 'node:http';
import type { Duplex } from 'node:stream';
import type { SshKey } from '../../api/app.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../util/log.js';
import { ChannelSocket } from './channel.js';
import { pushPath } from './git/command.js';
import type { Pushes } from './git/pushes.js';
import { fingerprintOf, type KeyBook } from './keys.js';

/** Bounds of the server; times in ms. */
export interface GatewayLimits {
  /** From the first byte to an accepted key. */
  handshakeMs: number;
  connections: number;
  /** Connections that have not proved a key yet. */
  pending: number;
  channels: number;
  /** Keys that one connection may offer. */
  offers: number;
  keepaliveMs: number;
  keepalives: number;
}

/** What bounds a gateway unless told otherwise. */
export const gatewayLimits: GatewayLimits = {
  handshakeMs: 10_000,
  connections: 512,
  pending: 64,
  channels: 16,
  offers: 30,
  keepaliveMs: 10_000,
  keepalives: 3,
};

/** The command that leads to the API. */
const apiCommand = 'flynn-api';

/** What connections need. */
export interface ClientOptions {
  keys: KeyBook;
  /** Takes the connections; made by `createProxy` with our `identify`. */
  http: HttpServer;
  clock: Clock;
  log: Log;
  /** Which client a channel belongs to, written here: the proxy asks. */
  owners: WeakMap<Duplex, Client>;
  /** Takes pushes; without it there are none. */
  pushes?: Pushes;
}

/** How long a key that is not known may be kept waiting for the first list of keys, ms. */
const firstListMs = 3_000;

/** One SSH connection. */
export class Client {
  /** The key that was proved; undefined before. */
  key: SshKey | undefined;
  private blob: Buffer | undefined;
  private offers = 0;
  private ending = false;
  private readonly channels = new Set<{ destroy(): void }>();

  constructor(
    private readonly connection: Connection,
    private readonly ip: string,
    private readonly options: ClientOptions,
    private readonly limits: GatewayLimits,
  ) {
    connection.on('authentication', (context) => {
      this.authenticate(context).catch((error: unknown) => {
        options.log.error({ ip, err: String(error) }, 'authentication failed by our mistake');
        context.reject();
      });
    });
    connection.on('session', (accept) => this.serve(accept()));
    // Forwards are refused by ssh2 when nobody listens for them; said here so that it stays so.
    connection.on('request', (_accept, reject) => reject?.());
    connection.on('tcpip', (_accept, reject) => reject());
  }

  /** The key's record as it is now; undefined when it may not come in any more. */
  current(): SshKey | undefined {
    return this.blob && this.options.keys.find(this.blob);
  }

  /** Ends the connection if its key was taken away. */
  recheck(): void {
    if (!this.key || this.current()) return;
    this.options.log.info(
      { ip: this.ip, key: this.key.fingerprint, name: this.key.name },
      'key removed, ended',
    );
    this.end();
  }

  /** Ends it at once if no channel is open, else with its last one. */
  endWhenIdle(): void {
    this.ending = true;
    if (this.channels.size === 0) this.end();
  }

  /** Ends it in order. */
  end(): void {
    this.connection.end();
  }

  /** After the connection is gone. */
  closed(): void {
    for (const channel of this.channels) channel.destroy();
  }

  private async authenticate(context: AuthContext): Promise<void> {
    const { keys, clock, log } = this.options;
    if (context.method !== 'publickey') return context.reject(['publickey']);
    const blob = context.key.data;
    if (!keys.find(blob)) {
      // A gateway that has just started knows no keys yet.
      const late = new AbortController();
      await Promise.race([keys.ready, clock.sleep(firstListMs, late.signal)]).catch(() => undefined);
      late.abort();
    }
    const known = keys.find(blob);
    this.offers += context.signature === undefined ? 1 : 0;
    if (!known || this.offers > this.limits.offers) {
      log.info({ ip: this.ip, key: fingerprintOf(blob) }, 'key refused');
      if (this.offers > this.limits.offers) this.end();
      return context.reject(['publickey']);
    }
    // Without a signature the client only asks whether this key would do.
    if (context.signature === undefined || context.blob === undefined) return context.accept();
    const parsed = ssh2.utils.parseKey(`${known.type} ${known.blob}`);
    if (
      parsed instanceof Error ||
      parsed.verify(context.blob, context.signature, context.hashAlgo) !== true
    ) {
      log.warn({ ip: this.ip, key: known.fingerprint }, 'bad signature');
      return context.reject(['publickey']);
    }
    this.key = known;
    this.blob = blob;
    log.info(
      { ip: this.ip, key: known.fingerprint, name: known.name, role: known.role, apps: known.apps },
      'key accepted',
    );
    context.accept();
  }

  private serve(session: Session): void {
    session.on('exec', (accept, reject, info) => {
      if (this.channels.size >= this.limits.channels) return reject();
      const channel = accept();
      const path = pushPath(info.command);
      if (info.command === apiCommand) this.serveApi(channel);
      else if (path !== undefined && this.options.pushes) this.servePush(channel, path, this.options.pushes);
      else refuseCommand(channel);
    });
    for (const event of ['pty', 'shell', 'sftp', 'subsystem', 'x11', 'auth-agent', 'env'] as const) {
      refuse(session, event);
    }
  }

  private serveApi(channel: ServerChannel): void {
    const socket = new ChannelSocket(channel, this.ip);
    this.channels.add(socket);
    this.options.owners.set(socket, this);
    socket.on('error', () => undefined);
    socket.once('close', () => this.ended(socket));
    this.options.http.emit('connection', socket);
  }

  private servePush(channel: ServerChannel, path: string, pushes: Pushes): void {
    const push = pushes.serve(channel, path, () => this.current());
    this.channels.add(push);
    void push.done.then(() => this.ended(push));
  }

  private ended(channel: { destroy(): void }): void {
    this.channels.delete(channel);
    if (this.ending && this.channels.size === 0) this.end();
  }
}

function refuse(session: Session, event: string): void {
  const refuser = (_accept: unknown, reject?: () => void): void => reject?.();
  (session as unknown as NodeJS.EventEmitter).on(event, refuser);
}

function refuseCommand(channel: ServerChannel): void {
  channel.on('error', () => undefined);
  channel.stderr.write('flynn: unknown command\n');
  channel.exit(127);
  channel.end();
}
