// From the words of the command line to add-host's options.
import { addHosts, type AddHostResult } from './add-host.js';
import { parseInternalAddresses, portsOf, reachOf, type BootstrapCommand } from './bootstrap-command.js';
import { readCaCert } from './ca-cert.js';
import { chooseCluster } from './context.js';
import { flynnHome } from './local-files.js';
import { describeOperations } from './operation.js';

/** Flags of `cluster add-host`, by their names. */
interface AddHostFlags {
  /** -c: the cluster, else as for every command. */
  cluster?: string;
  identity?: string[];
  'ssh-config'?: string;
  'host-key'?: string[];
  'internal-address'?: string[];
  images?: string;
  'allow-public-plaintext': boolean;
  'ca-cert'?: string;
  'dry-run': boolean;
}

/** Checks the flags and runs add-host with the real world. */
export async function runAddHost(
  command: Omit<BootstrapCommand, 'flags'> & { flags: AddHostFlags },
): Promise<AddHostResult> {
  const { flags, env } = command;
  const trust = flags['ca-cert'] === undefined ? undefined : await readCaCert(flags['ca-cert']);
  const { name } = await chooseCluster({
    home: flynnHome(env),
    ...(flags.cluster ? { flag: flags.cluster } : {}),
    env,
  });
  return addHosts(await portsOf(command), {
    cluster: name,
    hosts: command.hosts,
    reach: reachOf(command),
    internalAddresses: parseInternalAddresses(flags['internal-address'] ?? []),
    ...(flags.images ? { images: flags.images } : {}),
    allowPublicPlaintext: flags['allow-public-plaintext'],
    ...(trust ? { trust } : {}),
    dryRun: flags['dry-run'],
    confirm: (operations) => command.confirm(describeOperations(operations), 'Carry this out?'),
    signal: command.signal,
  });
}
