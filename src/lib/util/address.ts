// Addresses as text.

/** `host`, or `[host]` for an IPv6 address, as it stands before a port. */
export function bracketHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
