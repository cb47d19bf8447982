// What the lab takes and gives: options, hosts, states and the events it reports.

/** One step of progress. `code` is stable, `message` is for people. */
export interface LabEvent {
  code:
    | 'engine.install'
    | 'engine.start'
    | 'engine.ready'
    | 'engine.stop'
    | 'image.pull'
    | 'image.make'
    | 'image.build'
    | 'image.save'
    | 'image.ready'
    | 'lab.network'
    | 'lab.recipe'
    | 'lab.create'
    | 'lab.ready'
    | 'lab.remove'
    | 'lab.warning';
  message: string;
}

/** Takes progress events; never throws. */
export type LabReport = (event: LabEvent) => void;

/** Names a lab: its checkout and its name. Two checkouts, or two names in one, never touch each other. */
export interface LabRef {
  /** Directory that holds `.lab/`; the checkout of this package when left out. */
  root?: string;
  /** Lower-case letters, digits and dashes; `default` when left out. */
  name?: string;
  signal?: AbortSignal;
}

/** What kind of hosts a lab has. */
export interface LabVariant {
  /** No Docker on the hosts. */
  bare: boolean;
  /** The login is the user `ops` with password-less sudo; root cannot log in. */
  sudoUser: boolean;
  /** sshd refuses TCP and stream-local forwarding. */
  noForwarding: boolean;
}

/** Options of `labUp`. */
export interface LabUpOptions extends LabRef, Partial<LabVariant> {
  /** How many hosts there shall be at least, 1–20; 3 when left out. */
  hosts?: number;
}

/** One host as it is written to `hosts.json`. */
export interface LabHost {
  name: string;
  /** Where the machine reaches its sshd, and as whom. */
  ssh: { host: string; port: number; user: string };
  /** URL of its port 80 and 443 from the machine. */
  http: string;
  https: string;
  /** Its port 2222 from the machine, `address:port`. */
  gateway: string;
  /** The address by which the hosts see one another. */
  address: string;
  /** The first host's port 80 on 127.0.0.1, for `http://NAME.localhost:PORT`. */
  local?: string;
  /** Id of its container in the machine's engine. */
  container: string;
  /** Public host key, `ssh-ed25519 AAAA…`. */
  hostKey: string;
}

/** State of a host's container. */
export type LabHostState = 'running' | 'paused' | 'off';

/** A lab that is up. */
export interface Lab {
  name: string;
  root: string;
  /** Directory with key, known_hosts, ssh_config, env and hosts.json. */
  dir: string;
  /** True when this call found everything running. */
  existed: boolean;
  hosts: LabHost[];
}

/** What `labStatus` gives. */
export interface LabStatus {
  name: string;
  up: boolean;
  dir: string;
  subnet?: string;
  hosts: (LabHost & { state: LabHostState; cuts: string[] })[];
}
