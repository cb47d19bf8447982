// How one appliance calls another: mTLS, kept-alive connections, the common HTTP client.
import { Agent } from 'node:https';
import { HttpClient } from '../api/http.js';
import type { Identity } from './config.js';

/** Clients for other appliances' APIs that share one identity and its connections. */
export class ApplianceClients {
  private readonly agent: Agent;

  constructor(identity: Identity) {
    this.agent = new Agent({
      ca: identity.ca,
      cert: identity.cert,
      key: identity.key,
      keepAlive: true,
      maxSockets: 32,
      minVersion: 'TLSv1.3',
    });
  }

  /** Client of the API at `address:port`. */
  at(address: string, port: number, timeoutMs = 5_000): HttpClient {
    return new HttpClient({
      baseUrl: `https://${address.includes(':') ? `[${address}]` : address}:${port}`,
      agent: this.agent,
      timeoutMs,
    });
  }

  /** Ends all kept-alive connections. */
  close(): void {
    this.agent.destroy();
  }
}
