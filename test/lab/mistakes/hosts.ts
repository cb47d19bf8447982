// Hosts that cannot be bootstrapped: nobody there, wrong keys, no rights, in use, too small, off the time.
import { expect } from 'vitest';
import { labExec } from '../../../src/lib/lab/index.js';
import { hosts, labName } from '../grid.js';
import { typed, type Table } from './mistake.js';
import { at, first, lab, stranger } from './stage.js';

/** Bootstraps nothing: looks at hosts with an ssh_config of the test's own, as a cluster that is not known here. */
const dryRun = (config: string, words: () => string[]) =>
  typed(
    () => [
      ...['cluster', 'bootstrap', '--dry-run', '--name', 'oops', '--domain', 'oops.localhost'],
      ...['--ssh-config', at(config), ...words()],
    ],
    stranger,
  );

/** Somebody without rights. */
const plain = 'oopsplain';

/**
 * Logins of root whose programs come first in PATH: the host as preflight would find it if it were of no cluster
 * (`fresh`), and then one with little disk, and one whose clock is an hour ahead.
 */
const fresh = 'case "$*" in */etc/flynn/*) exit 1 ;; esac; exec /bin/cat "$@"';
const logins: Record<string, Record<string, string>> = {
  oopsfresh: { cat: fresh },
  oopssmall: { cat: fresh, df: 'echo; echo overlay 60000000 59000000 1048576 99% /var/lib/docker' },
  oopslate: { cat: fresh, date: 'exec /bin/date -d "1 hour" "$@"' },
};

const makeLogins = (): string =>
  [
    'set -e',
    `useradd -m -p '*' ${plain} && cp -r /root/.ssh /home/${plain}/ && chown -R ${plain} /home/${plain}`,
    `printf '#!/bin/sh\\nexport PATH="$HOME/bin:$PATH"\\nexec /bin/sh "$@"\\n' > /usr/local/bin/oops-shell`,
    'chmod 755 /usr/local/bin/oops-shell',
    ...Object.entries(logins).flatMap(([name, programs]) => [
      `useradd -o -u 0 -g 0 -m -p '*' -s /usr/local/bin/oops-shell ${name}`,
      `cp -r /root/.ssh /home/${name}/ && mkdir /home/${name}/bin`,
      ...Object.entries(programs).map(
        ([program, text]) =>
          `printf '#!/bin/sh\\n%s\\n' '${text}' > /home/${name}/bin/${program} && chmod 755 /home/${name}/bin/${program}`,
      ),
    ]),
  ].join('\n');

const dropLogins = [plain, ...Object.keys(logins)]
  .map((name) => `userdel -rf ${name} 2>/dev/null`)
  .concat('rm -f /usr/local/bin/oops-shell')
  .join('\n');

/** Another host, by number. */
const other = (index: number) => hosts()[index]!;

export const hostMistakes: Table = {
  title: 'a host that cannot be bootstrapped',
  together: true,
  begin: async () => {
    for (const { name } of hosts().slice(0, 2)) {
      await labExec(name, ['sh', '-c', dropLogins], lab);
      const done = await labExec(name, ['sh', '-c', makeLogins()], lab);
      expect(done.code, done.stderr).toBe(0);
    }
  },
  end: async () => {
    for (const { name } of hosts().slice(0, 2)) await labExec(name, ['sh', '-c', dropLogins], lab);
  },
  mistakes: [
    {
      name: 'a name that nobody knows',
      act: dryRun('right.conf', () => ['no-such-host.invalid']),
      code: 6,
      says: ['no-such-host.invalid', 'ENOTFOUND'],
      hint: 'getent hosts no-such-host.invalid',
    },
    {
      name: 'a port where nobody listens',
      act: dryRun('right.conf', () => [`root@${other(0).ssh.host}:2`]),
      code: 6,
      says: [':2 ', 'ECONNREFUSED'],
      hint: /ssh -v -p 2 .*sshd/,
    },
    {
      name: 'two of three hosts that cannot be reached',
      act: dryRun('right.conf', () => [
        first(),
        ...[other(1), other(2)].map(({ ssh }) => `root@${ssh.host}:2`),
      ]),
      code: 6,
      says: ['2 of 3 hosts', /127\.\S+ cannot be reached.*127\.\S+ cannot be reached/],
      hint: 'ssh -v -p 2 ',
    },
    {
      name: 'a key that the host does not accept',
      act: dryRun('wrong-key.conf', () => [first()]),
      code: 5,
      says: ['accepts none of the keys', '/other'],
      hint: 'ssh-copy-id',
    },
    {
      name: 'a host key that has changed',
      act: dryRun('changed.conf', () => [first()]),
      code: 5,
      says: ['has changed', /known is SHA256:/, ':1'],
      hint: 'ssh-keygen -R',
    },
    {
      name: 'a host key that is not known, and nobody to ask',
      act: dryRun('unknown.conf', () => ['--yes', first()]),
      code: 5,
      says: ['is not known', 'SHA256:'],
      hint: '--host-key SHA256:',
    },
    {
      name: 'a key file that does not exist',
      act: dryRun('right.conf', () => ['-i', '/nonexistent', first()]),
      code: 2,
      says: ['/nonexistent'],
      hint: 'ssh-keygen',
    },
    {
      name: 'a user without sudo',
      act: dryRun('right.conf', () => [`${plain}@${first()}`]),
      code: 7,
      says: [/\b[a-z]: the user is not root and sudo asks for a password/],
      hint: 'sudo -n',
    },
    {
      name: 'a port that somebody else holds',
      act: dryRun('right.conf', () => ['--http-port', '22', first()]),
      code: 7,
      says: [/port 22, for HTTP, is held by sshd/],
      hint: /./,
    },
    {
      name: 'a host of another cluster',
      act: dryRun('right.conf', () => [first()]),
      code: 7,
      says: ['nothing was changed', `belongs to the cluster ${labName}`],
      hint: `flynn cluster destroy ${labName}`,
    },
    {
      name: 'a disk that is too small',
      act: dryRun('right.conf', () => [`oopssmall@${first()}`]),
      code: 7,
      says: ['nothing was changed', /: 1\.0 GiB are free at \/var\/lib\/docker$/m],
      hint: /docker system df.*4 GiB/,
    },
    {
      name: 'a clock that is an hour off',
      act: dryRun('right.conf', () => [`oopsfresh@${first()}`, `oopslate@${other(1).name}`]),
      code: 7,
      says: ['nothing was changed', /: its clock is 3(599|600)\.\d s ahead of this computer's$/m],
      hint: 'apt-get install systemd-timesyncd',
    },
    {
      name: 'a capacity that is none',
      act: dryRun('right.conf', () => ['--capacity', 'lots', first()]),
      code: 2,
      says: ['--capacity lots'],
      hint: '--capacity 2048,2000',
    },
  ],
};
