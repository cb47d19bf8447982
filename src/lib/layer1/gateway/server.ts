// The SSH server: TCP connections under limits, handed to ssh2, ended in order.
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import ssh2, { type Connection } from 'ssh2';
import { Client, gatewayLimits, type ClientOptions, type GatewayLimits } from './client.js';

/** What the server needs. */
export interface GatewayServerOptions extends ClientOptions {
  /** The private host key that all gateways share. */
  hostKey: string;
  limits?: Partial<GatewayLimits>;
}

/** One TCP connection, with its SSH side once the client has introduced itself. */
interface Visit {
  socket: Socket;
  ip: string;
  stopTimer: () => void;
  client?: Client;
}

/** What an orderly end may take, ms. */
const endMs = 1_000;

/** An SSH server with its connections. */
export class GatewayServer {
  private readonly limits: GatewayLimits;
  private readonly listener: Server;
  private readonly ssh: ssh2.Server;
  private readonly visits = new Map<string, Visit>();

  constructor(private readonly options: GatewayServerOptions) {
    this.limits = { ...gatewayLimits, ...options.limits };
    this.ssh = new ssh2.Server(
      {
        hostKeys: [options.hostKey],
        ident: 'flynn',
        keepaliveInterval: this.limits.keepaliveMs,
        keepaliveCountMax: this.limits.keepalives,
      },
      (connection, info) => this.greet(connection, this.visits.get(`${info.ip} ${info.port}`)),
    );
    // ssh2 tells of a connection once the client has introduced itself: who never does must count, too.
    this.listener = createServer((socket) => this.admit(socket));
    // A key that was taken away ends the connections that it opened.
    options.keys.onChange(() => {
      for (const { client } of this.visits.values()) client?.recheck();
    });
  }

  /** Listens; resolves with the port, rejects when it cannot be had. */
  listen(port: number, address: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.listener.once('error', reject);
      this.listener.listen(port, address, () => {
        this.listener.off('error', reject);
        this.listener.on('error', (error) =>
          this.options.log.error({ err: error.message }, 'the listener failed'),
        );
        resolve((this.listener.address() as AddressInfo).port);
      });
    });
  }

  /** Number of connections, accepted or not yet. */
  get connections(): number {
    return this.visits.size;
  }

  /** Takes no more connections, lets open channels go on for `graceMs`, then ends them. */
  async close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.listener.close(() => resolve()));
    for (const { client, socket } of this.visits.values()) {
      if (client) client.endWhenIdle();
      else socket.destroy();
    }
    const { clock } = this.options;
    const cancels = [
      clock.after(graceMs, () => this.visits.forEach(({ client }) => client?.end())),
      // An orderly end takes two: a peer that says nothing does not keep us.
      clock.after(graceMs + endMs, () => this.visits.forEach(({ socket }) => void socket.destroy())),
    ];
    await closed;
    for (const cancel of cancels) cancel();
  }

  private admit(socket: Socket): void {
    const { log, clock } = this.options;
    const ip = socket.remoteAddress ?? 'unknown';
    // Permanent: an error event without a listener ends the process.
    socket.on('error', (error) => log.debug({ ip, err: error.message }, 'connection failed'));
    const pending = [...this.visits.values()].filter(({ client }) => !client?.key).length;
    if (this.visits.size >= this.limits.connections || pending >= this.limits.pending) {
      log.warn({ ip, connections: this.visits.size, pending }, 'too many connections, refused');
      socket.destroy();
      return;
    }
    const id = `${ip} ${socket.remotePort}`;
    const stopTimer = clock.after(this.limits.handshakeMs, () => {
      log.info({ ip }, 'no key within the time allowed, ended');
      socket.destroy();
    });
    this.visits.set(id, { socket, ip, stopTimer });
    socket.on('close', () => {
      stopTimer();
      this.visits.get(id)?.client?.closed();
      this.visits.delete(id);
    });
    socket.setNoDelay(true);
    this.ssh.injectSocket(socket);
  }

  private greet(connection: Connection, visit: Visit | undefined): void {
    connection.on('error', (error: Error) =>
      this.options.log.debug({ err: error.message }, 'connection failed'),
    );
    if (!visit) {
      connection.end();
      return;
    }
    connection.on('ready', () => visit.stopTimer());
    visit.client = new Client(connection, visit.ip, this.options, this.limits);
  }
}
