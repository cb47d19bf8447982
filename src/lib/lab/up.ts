// Brings a lab up: engine, image, network, hosts by the first recipe that works, files. Twice is the same as once.
import { FlynnError } from '../api/errors.js';
import { ensureDebian } from './base-images.js';
import { docker, dockerAny } from './docker-cli.js';
import { ensureEngine } from './engine.js';
import { ensureKey, writeLabFiles } from './files.js';
import { ensureHostImage } from './images.js';
import { findHosts, isLocal, labId, published, type FoundHost, type LabId } from './inventory.js';
import {
  addBlackhole,
  anyTaken,
  ensureNetwork,
  freeLocalPort,
  imageOf,
  machineNameServers,
  publishPlan,
} from './machine.js';
import {
  addressesOf,
  containerName,
  hostArgv,
  hostName,
  loginOf,
  MAX_HOSTS,
  recipes,
  variantLabel,
} from './plan.js';
import type { HostSpec, Recipe } from './plan.js';
import type { Lab, LabHost, LabReport, LabUpOptions, LabVariant } from './types.js';

const READY_S = 60;

/** Waits until sshd and, if there is one, dockerd of a host answer. Throws `timeout` with their last log lines. */
export const waitReady = async (containerId: string, name: string, signal?: AbortSignal): Promise<void> => {
  const args = ['exec', containerId, 'lab-ready', String(READY_S)];
  const done = await dockerAny(args, { timeoutMs: (READY_S + 30) * 1000, signal });
  if (done.code === 0) return;
  throw new FlynnError({
    code: 'timeout',
    message: `lab host ${name} was not ready within ${READY_S} s: ${done.stderr.trim().split('\n').slice(-6).join('\n')}`,
    hint: `docker logs ${containerId.slice(0, 12)}`,
  });
};

const describe = async (
  id: LabId,
  n: number,
  host: FoundHost,
  user: string,
  signal?: AbortSignal,
): Promise<LabHost> => {
  const key = await docker(['exec', host.id, 'cat', '/etc/ssh/ssh_host_ed25519_key.pub'], { signal });
  const index = host.name.charCodeAt(0) - 97;
  const [ssh, http, https, gateway] = [
    published(host, 22),
    published(host, 80),
    published(host, 443),
    published(host, 2222),
  ];
  const local = host.publish.find(isLocal);
  const port = (p: { port: number }, usual: number): string => (p.port === usual ? '' : `:${p.port}`);
  return {
    name: host.name,
    ssh: { host: ssh.ip, port: ssh.port, user },
    http: `http://${http.ip}${port(http, 80)}`,
    https: `https://${https.ip}${port(https, 443)}`,
    gateway: `${gateway.ip}:${gateway.port}`,
    address: addressesOf(n, index).address,
    ...(local ? { local: `http://127.0.0.1:${local.port}` } : {}),
    container: host.id,
    hostKey: key.split(' ').slice(0, 2).join(' '),
  };
};

const checkOptions = (opts: LabUpOptions): { count: number; variant: LabVariant } => {
  const count = opts.hosts ?? 3;
  if (!Number.isInteger(count) || count < 1 || count > MAX_HOSTS) {
    throw new FlynnError({
      code: 'usage',
      message: `a lab has 1 to ${MAX_HOSTS} hosts, not ${count}`,
      hint: 'flynn lab up --hosts 3',
    });
  }
  return {
    count,
    variant: {
      bare: opts.bare ?? false,
      sudoUser: opts.sudoUser ?? false,
      noForwarding: opts.noForwarding ?? false,
    },
  };
};

const checkVariant = (id: LabId, found: readonly FoundHost[], variant: LabVariant): void => {
  const want = variantLabel(variant);
  const other = found.find((host) => host.variant !== want);
  if (!other) return;
  throw new FlynnError({
    code: 'conflict',
    message: `lab ${id.name} is up with hosts of kind "${other.variant}", not "${want}"`,
    hint: `flynn lab down --name ${id.name}`,
  });
};

/** Creates one host's container; `conflict` when its name is taken: somebody else is bringing this lab up. */
const createHost = async (spec: HostSpec, signal?: AbortSignal): Promise<string> => {
  const done = await dockerAny(hostArgv(spec), { signal });
  if (done.code === 0) return done.stdout.trim();
  const name = hostName(spec.index);
  const taken = await dockerAny(['container', 'inspect', containerName(spec.key, name)], { signal });
  throw taken.code === 0
    ? new FlynnError({
        code: 'conflict',
        message: `host ${name} of lab ${spec.lab} has just appeared: another run is bringing the lab up`,
        hint: `flynn lab status --name ${spec.lab}`,
      })
    : new FlynnError({ code: 'failed', message: `host ${name} cannot be created: ${done.stderr.trim()}` });
};

/** Starts the given hosts by one recipe. Undoes all of them and returns the reason when one does not come up. */
const tryRecipe = async (
  specs: readonly Omit<HostSpec, 'recipe'>[],
  recipe: Recipe,
  signal?: AbortSignal,
): Promise<FlynnError | undefined> => {
  // Only what this run has created is undone.
  const created: string[] = [];
  const results = await Promise.allSettled(
    specs.map(async (spec) => {
      const container = await createHost({ ...spec, recipe }, signal);
      created.push(container);
      await docker(['start', container], { signal, timeoutMs: 120_000 });
      await waitReady(container, hostName(spec.index), signal);
    }),
  );
  const failure = results.find((one) => one.status === 'rejected');
  if (!failure) return undefined;
  if (created.length > 0) await dockerAny(['rm', '-fv', ...created]);
  const reason: unknown = failure.reason;
  if (!(reason instanceof FlynnError) || reason.code === 'conflict' || signal?.aborted) throw reason;
  return reason;
};

/** How often a recipe is tried again when another program took one of the ports that were planned for it. */
const portRaces = 3;

const createHosts = async (
  plan: () => Promise<Omit<HostSpec, 'recipe'>[]>,
  report: LabReport,
  signal?: AbortSignal,
): Promise<void> => {
  let last: FlynnError | undefined;
  for (const recipe of recipes) {
    for (let race = 1; race <= portRaces; race++) {
      const specs = await plan();
      last = await tryRecipe(specs, recipe, signal);
      if (!last) return;
      if (!(await anyTaken(specs.flatMap(({ publish }) => publish)))) break;
      report({ code: 'lab.create', message: 'a port was taken meanwhile, planning others' });
    }
    report({ code: 'lab.recipe', message: `recipe "${recipe.name}" does not work on this machine` });
  }
  throw new FlynnError({
    code: 'missing',
    message: `this machine's engine cannot run hosts with an engine inside: ${last?.message ?? ''}`,
    hint: 'npm run test:unit',
    cause: last,
  });
};

const revive = async (
  hosts: readonly FoundHost[],
  report: LabReport,
  signal?: AbortSignal,
): Promise<void> => {
  await Promise.all(
    hosts.map(async (host) => {
      if (host.state === 'running') return;
      report({ code: 'lab.create', message: `host ${host.name} is ${host.state}, bringing it back` });
      await docker([host.state === 'paused' ? 'unpause' : 'start', host.id], { signal });
      if (host.state === 'paused') await dockerAny(['exec', host.id, 'lab-witness', 'stop'], { signal });
      await waitReady(host.id, host.name, signal);
    }),
  );
};

/**
 * Brings a lab up and returns it with its hosts; a lab that is up already is returned as it is, with hosts added
 * when more are asked for. Throws `missing` where no engine can be had, `conflict` for hosts of another kind.
 */
export const labUp = async (opts: LabUpOptions, report: LabReport): Promise<Lab> => {
  const { signal } = opts;
  const id = labId(opts);
  const { count, variant } = checkOptions(opts);
  await ensureEngine(report, signal);
  const found = await findHosts(id.key, signal);
  checkVariant(id, found, variant);
  await revive(found, report, signal);
  const names = new Set(found.map((host) => host.name));
  const missing = Array.from({ length: count }, (_, index) => index).filter((i) => !names.has(hostName(i)));
  const authorizedKey = await ensureKey(id.dir, id.name);
  if (missing.length > 0) {
    const base = await ensureDebian(report, signal);
    const image = await ensureHostImage(variant.bare, base.id, report, signal);
    const n = await ensureNetwork(id, signal);
    const dns = await machineNameServers();
    report({
      code: 'lab.create',
      message: `starting ${missing.map(hostName).join(', ')} in 10.77.${n}.0/24`,
    });
    const plan = async () => {
      const local = await freeLocalPort();
      return Promise.all(
        missing.map(async (index) => ({
          ...{ key: id.key, lab: id.name, root: id.root, number: n, index, image, variant, authorizedKey },
          dns,
          publish: await publishPlan(n, index, index === 0 ? local : undefined),
        })),
      );
    };
    await createHosts(plan, report, signal);
  }
  const existed = missing.length === 0 && found.every((host) => host.state === 'running');
  const [n, now] = await Promise.all([ensureNetwork(id, signal), findHosts(id.key, signal)]);
  // After a restart of the machine the route is gone while the containers are not.
  if (!existed && now[0] && !(await addBlackhole(n, await imageOf(now[0].id), signal))) {
    report({ code: 'lab.warning', message: 'the blackhole route for the lab could not be set' });
  }
  const hosts = await Promise.all(now.map((host) => describe(id, n, host, loginOf(variant), signal)));
  await writeLabFiles(id.dir, id.name, hosts);
  report({
    code: 'lab.ready',
    message: `lab ${id.name} is up: ${hosts.map((host) => host.name).join(', ')}`,
  });
  return { name: id.name, root: id.root, dir: id.dir, existed, hosts };
};
