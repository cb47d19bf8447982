// An http.Agent whose connections are SSH channels: one channel per HTTP connection, kept and used again.
import http from 'node:http';
import type { Duplex } from 'node:stream';

/** What HTTP expects of a socket and a channel has no use for. */
function asSocket(channel: Duplex): Duplex {
  const self = (): Duplex => channel;
  return Object.assign(channel, {
    setKeepAlive: self,
    setNoDelay: self,
    setTimeout: self,
    ref: self,
    unref: self,
    destroySoon: () => void channel.destroy(),
  });
}

type Created = (error: Error | null, socket: Duplex) => void;
/** As node calls it back for an error; its types ask for a socket even then. */
type Failed = (error: Error) => void;

/** Connections come from `open`; errors of it are the request's. */
export class ChannelAgent extends http.Agent {
  constructor(private readonly open: () => Promise<Duplex>) {
    super({ keepAlive: true });
  }

  /** Called by http for a request that finds no idle connection. */
  override createConnection(_options: http.ClientRequestArgs, done?: Created): undefined {
    this.open().then(
      (channel) => done?.(null, asSocket(channel)),
      (error: unknown) =>
        (done as Failed | undefined)?.(error instanceof Error ? error : new Error(String(error))),
    );
  }
}
