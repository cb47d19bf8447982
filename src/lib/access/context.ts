// Which cluster a command talks to, reduced to what a way in needs.
import { FlynnError } from '../api/errors.js';

/** The doors of one cluster. */
export interface GatewayContext {
  /** Name of the cluster on this computer. */
  name: string;
  /** `host:port` of every gateway, the preferred one first. */
  gateways: readonly string[];
  /** `SHA256:…` of the host key that all gateways share. */
  fingerprint: string;
  /** Domain that apps get names below, when it is known here. */
  domain?: string;
  /** Path of the private key that this cluster is used with. */
  identity?: string;
}

/** A gateway's address. */
export interface GatewayAddress {
  host: string;
  port: number;
}

/** Reads `host:port`, `[v6]:port`; the port is 2222 when left out. Throws `usage`. */
export function parseGateway(text: string): GatewayAddress {
  const match = /^(?:\[([0-9A-Fa-f:.%]+)\]|([^:\s[\]]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3] ?? 2222);
  if (host === undefined || port < 1 || port > 65_535) {
    throw new FlynnError({
      code: 'usage',
      message: `'${text}' is not the address of a gateway`,
      hint: 'flynn cluster show   (prints the addresses that are known here)',
    });
  }
  return { host, port };
}

/** The inverse of `parseGateway`, always with the port. */
export function formatGateway({ host, port }: GatewayAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
