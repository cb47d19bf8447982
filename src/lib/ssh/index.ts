// The SSH room's front door: everything other rooms may import.
export { createConnector, type ConnectorOptions } from './connector.js';
export { configFromText, loadConfig, resolveTarget, type HostConfig, type SshConfigFile } from './config.js';
export { elevation } from './elevation.js';
export { fingerprint } from './host-keys.js';
export { formatKnownHost } from './known-hosts.js';
export { describeTarget, hostPort, parseTarget, type TargetSpec } from './target.js';
export type * from './port.js';
