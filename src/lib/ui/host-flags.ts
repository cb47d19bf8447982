// Flags of the commands that go to hosts over SSH: each is written down once.
import { Flags } from '@oclif/core';

/** How hosts are reached. */
export const reachFlags = {
  identity: Flags.string({
    char: 'i',
    description: 'private key file',
    multiple: true,
    multipleNonGreedy: true,
  }),
  'ssh-config': Flags.string({ description: 'ssh_config file', env: 'FLYNN_SSH_CONFIG' }),
  'host-key': Flags.string({
    description: 'fingerprint of a host key to accept (SHA256:…), once for each host',
    multiple: true,
    multipleNonGreedy: true,
  }),
};

/** How Layer 0 is reached: the same, listed once for all commands. */
export const loginFlags = {
  identity: Flags.string({
    char: 'i',
    description: 'private key file for the SSH login to the hosts (default: the one of bootstrap)',
    multiple: true,
    multipleNonGreedy: true,
    helpGroup: 'GLOBAL',
  }),
  'ssh-config': Flags.string({
    description: 'ssh_config file',
    env: 'FLYNN_SSH_CONFIG',
    helpGroup: 'GLOBAL',
  }),
};

/** The flag that takes every question for answered. */
export const yesFlag = { yes: Flags.boolean({ char: 'y', description: 'ask nothing' }) };

/** What is said of hosts that become part of a cluster. */
export const memberFlags = {
  ...reachFlags,
  'internal-address': Flags.string({
    description: 'address the other hosts use for a host: HOST=ADDRESS',
    multiple: true,
    multipleNonGreedy: true,
  }),
  'allow-public-plaintext': Flags.boolean({
    description: 'accept plain HTTP between hosts over public addresses',
  }),
  'ca-cert': Flags.string({
    description: 'file of PEM certificates that builds trust too: the authority of a proxy that reads TLS',
  }),
  'dry-run': Flags.boolean({ description: 'look and show the plan, change nothing' }),
  ...yesFlag,
};

/** The flag for a bundle of images; `otherwise` says what happens without one. */
export const imagesFlag = (otherwise: string) => ({
  images: Flags.string({ description: `bundle of images (default: ${otherwise})`, env: 'FLYNN_IMAGES' }),
});
