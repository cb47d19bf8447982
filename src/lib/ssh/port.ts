// The SSH port: what the rest of Flynn may ask of a host it reaches over SSH, in our own types.
import type { Duplex, Readable } from 'node:stream';

/** Where an sshd answers and as whom we log in. `name` is the host's name in the cluster, if it has one. */
export interface SshTarget {
  host: string;
  port: number;
  user: string;
  name?: string;
}

/** A server's public key: its type (`ssh-ed25519`), its OpenSSH fingerprint (`SHA256:…`) and the wire blob in base64. */
export interface HostKey {
  type: string;
  fingerprint: string;
  blob: string;
}

/** How a remote command ended. `code` is null when a signal ended it; `truncated` says that output beyond the limit was dropped. */
export interface ExecResult {
  code: number | null;
  signal?: string;
  stdout: string;
  stderr: string;
  truncated?: boolean;
}

/** What goes with one remote command. */
export interface ExecOptions {
  /** Fed to the command's standard input, which is closed after it. A stream is read with backpressure. */
  input?: string | Buffer | Readable;
  /** Run as root: nothing is added when the user is root, `sudo -n` otherwise. */
  sudo?: boolean;
  /** Deadline in ms: `timeout` is thrown, and the command is ended on the host at most 3 s later. Default 120,000. */
  timeoutMs?: number;
  /** When aborted, the channel is closed and the signal's reason thrown (`timeout` if that is a deadline); root's commands run on until their deadline. */
  signal?: AbortSignal;
  /** Bytes kept per stream; the rest is read and dropped. Default 4 MiB. */
  maxOutput?: number;
  /** Called with every whole line of standard error as it arrives. */
  onStderr?(line: string): void;
  /** Called with every whole line of standard output as it arrives. */
  onStdout?(line: string): void;
}

/** What goes with a streaming command. */
export interface SpawnOptions {
  sudo?: boolean;
  /** Destroys the channel when aborted. */
  signal?: AbortSignal;
}

/** A running remote command: write its stdin, read its stdout, both with backpressure. */
export type RemoteProcess = Duplex & {
  /** Must be read (or resumed): an unread stderr stalls the command once the window is full. */
  readonly stderr: Readable;
  /** Resolves with the exit code, null when a signal or the loss of the connection ended it. Never rejects. */
  readonly exit: Promise<number | null>;
};

/** What goes with a file that is written. */
export interface WriteFileOptions {
  /** Permission bits, e.g. 0o600. Default 0o644. */
  mode?: number;
  sudo?: boolean;
  /** `user` or `user:group` given to the file before it appears under its name. */
  owner?: string;
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** One authenticated connection to one host; everything on it is multiplexed. */
export interface SshConnection {
  readonly target: SshTarget;
  /** The key the host proved to hold in this connection. */
  readonly hostKey: HostKey;
  /** True once the connection is gone, by us or by the network. */
  readonly closed: boolean;
  /** Runs a command to its end. A non-zero exit is a result, not an error; throws `unreachable`, `timeout`. */
  exec(argv: readonly string[], opts?: ExecOptions): Promise<ExecResult>;
  /** Starts a command and hands out its streams. */
  spawn(argv: readonly string[], opts?: SpawnOptions): Promise<RemoteProcess>;
  /** Writes a file atomically (temporary file beside it, fsync, rename); the content never appears in argv. */
  writeFile(path: string, content: string | Buffer | Readable, opts?: WriteFileOptions): Promise<void>;
  /** A TCP connection made by the host. Throws `refused` where forwarding is forbidden, `unreachable` where nobody listens. */
  forwardTcp(host: string, port: number): Promise<Duplex>;
  /** A connection to a Unix socket of the host. Errors as forwardTcp. */
  forwardUnix(path: string): Promise<Duplex>;
  /** Ends the connection, and the jump hosts' connections under it. Never throws. */
  close(): Promise<void>;
  /** Calls back once when the connection is gone; at once if it already is. The error is the cause, if it was not us. */
  onClose(cb: (cause?: Error) => void): void;
}

/** What a human (or a flag) answers to an unknown host key. */
export interface UnknownHostKey {
  target: SshTarget;
  key: HostKey;
}

/** How a host proves who it is. Without any of these, no connection is made. */
export interface HostKeyPolicy {
  /** Accepted fingerprints (`SHA256:…`). When given, they alone decide. */
  pinned?: readonly string[];
  /** OpenSSH known_hosts files. Default: the ones of ssh_config, else `~/.ssh/known_hosts` and `/etc/ssh/ssh_known_hosts`. */
  knownHostsFiles?: readonly string[];
  /** Asked about a key nobody knows; true trusts it for this connection, storing it is the caller's work. */
  confirm?(unknown: UnknownHostKey): Promise<boolean>;
}

/** Which keys we offer, in this order: text, files, agent, default identities. */
export interface AuthOptions {
  /** Private keys as text, as in FLYNN_SSH_KEY. */
  keyTexts?: readonly string[];
  /** Paths of private keys. */
  identityFiles?: readonly string[];
  /** Path of an agent's socket; false uses none. Default: SSH_AUTH_SOCK from `env`. */
  agent?: string | false;
  /** Also try ~/.ssh/id_ed25519, id_ecdsa, id_rsa. Default: true when no key was named. */
  defaultIdentities?: boolean;
  /** Asked once per encrypted key; undefined skips the key. */
  passphrase?(file: string): Promise<string | undefined>;
  /** What to type when no key is accepted. Default: ssh-copy-id. */
  refusedHint?: string;
}

/** Everything that goes with a connect. */
export interface ConnectOptions {
  hostKeys?: HostKeyPolicy;
  auth?: AuthOptions;
  /** Jump hosts, first hop first; overrides ssh_config. */
  jumps?: readonly SshTarget[];
  /** An ssh_config file; false reads none. Default `~/.ssh/config`. */
  sshConfig?: string | false;
  /** Bound of TCP connect, handshake and authentication together, per hop, in ms. Default 10,000. Waiting for a human in `confirm` or `passphrase` does not count. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** Makes connections; one per process, so that its cap on parallel connects holds. */
export interface SshConnector {
  /** Throws FlynnError: `refused` (host key, authentication), `unreachable`, `timeout` (aborted), `usage` (bad key file or ssh_config). */
  connect(target: SshTarget, opts?: ConnectOptions): Promise<SshConnection>;
}

/** What the user may do on a host: root already, root through `sudo -n`, or nothing of the sort. */
export type Elevation = 'root' | 'sudo' | 'none';
