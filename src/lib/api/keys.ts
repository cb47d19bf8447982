// Every key in the store, spelled in one place. Rights of certificates are given by these prefixes.

/** Builders and prefixes of store keys; H is a host's name, `*At` a prefix that ends in a slash. */
export const keys = {
  cluster: 'cluster/config',
  hosts: 'hosts/',
  hostInfo: (h: string) => `hosts/${h}/info`,
  hostBook: (h: string) => `hosts/${h}/book`,
  hostLease: (h: string) => `hosts/${h}/lease`,
  claims: 'claims/',
  claimsAt: (h: string) => `claims/${h}/`,
  claim: (h: string, job: string) => `claims/${h}/${job}`,
  statuses: 'status/',
  statusAt: (h: string) => `status/${h}/`,
  status: (h: string, job: string) => `status/${h}/${job}`,
  templates: 'templates/',
  template: (hash: string) => `templates/${hash}`,
  instances: 'instances/',
  instancesAt: (h: string) => `instances/${h}/`,
  instance: (h: string, service: string, job: string) => `instances/${h}/${service}/${job}`,
  volumes: 'volumes/',
  volumesAt: (h: string) => `volumes/${h}/`,
  volume: (h: string, name: string) => `volumes/${h}/${name}`,
  /** Leased: a singleton job that runs, or waits for the one before it to end. */
  singletons: 'singletons/',
  singletonsAt: (h: string) => `singletons/${h}/`,
  singleton: (h: string, job: string) => `singletons/${h}/${job}`,
  consumers: 'consumers/',
  consumer: (service: string, id: string) => `consumers/${service}/${id}`,
  omnis: 'omni/',
  omni: (name: string) => `omni/${name}`,
  elections: 'elections/',
  /** Elections that programs stand for, by the name of a service. */
  serviceElections: 'elections/service/',
  apps: 'apps/',
  app: (name: string) => `apps/${name}`,
  releases: 'releases/',
  releasesAt: (app: string) => `releases/${app}/`,
  /** Zero-padded so that the order of keys is the order of releases. */
  release: (app: string, version: number) => `releases/${app}/${String(version).padStart(8, '0')}`,
  formations: 'formations/',
  formation: (app: string) => `formations/${app}`,
  deployments: 'deployments/',
  deploymentsAt: (app: string) => `deployments/${app}/`,
  deployment: (app: string, id: string) => `deployments/${app}/${id}`,
  routes: 'routes/',
  route: (domain: string) => `routes/${domain}`,
  sshKeys: 'keys/',
  sshKey: (fingerprint: string) => `keys/${fingerprint.replaceAll('/', '_')}`,
  events: 'events/',
  event: (id: string) => `events/${id}`,
} as const;

/** Splits `prefix/A/B/…` into its parts after `prefix` (which ends in a slash). */
export function partsAfter(prefix: string, key: string): string[] {
  return key.slice(prefix.length).split('/');
}
