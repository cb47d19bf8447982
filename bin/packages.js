// Programs that the contract tests drive for real (etcd, HAProxy, sshd, git, the registry): installed from the distribution when absent.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Program to look for, by the Debian package that brings it. */
const programs = {
  'etcd-server': 'etcd',
  haproxy: 'haproxy',
  'openssh-server': 'sshd',
  'openssh-client': 'ssh',
  git: 'git',
  curl: 'curl',
  'docker-registry': 'docker-registry',
};

function installed(program) {
  const dirs = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return dirs.some((dir) => existsSync(join(dir, program)));
}

function apt(args) {
  return spawnSync('apt-get', ['-qq', ...args], {
    stdio: ['ignore', 2, 2],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
}

/** Installs what is missing, saying so first. Throws with what to do by hand where it cannot. */
export function ensurePackages() {
  const missing = Object.keys(programs).filter((name) => !installed(programs[name]));
  if (missing.length === 0) return;
  const command = `apt-get install -y --no-install-recommends ${missing.join(' ')}`;
  if (process.getuid?.() !== 0 || !installed('apt-get')) {
    throw new Error(
      `the tests need ${missing.join(', ')}: install them (${command}), or run \`npm run test:unit\`, which needs only Node`,
    );
  }
  process.stderr.write(`- ${command}\n`);
  apt(['update']);
  const done = apt(['install', '-y', '--no-install-recommends', '-o', 'Dpkg::Use-Pty=0', ...missing]);
  if (done.status !== 0) throw new Error(`${command} ended with ${done.status ?? done.signal}`);
}
