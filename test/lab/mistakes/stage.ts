// What mistakes are made with: an app that runs, keys and ssh_configs right and wrong, images good and bad.
import { generateKeyPairSync } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { heal, labExec, labImage, labStatus } from '../../../src/lib/lab/index.js';
import { makeKeyPair } from '../../../src/lib/lab/ssh-key.js';
import { cli, hosts, labName, root, run, type CliOptions } from '../grid.js';

/** The app that runs and must not be touched, and one that has no release yet. */
export const app = 'oops';
export const empty = 'oops-empty';
export const lab = { root, name: labName };

let dir: string;
/** A path in the stage's folder, which exists only while mistakes are made. */
export const at = (name: string): string => join(dir, name);
/** Name of the lab's first host. */
export const first = (): string => hosts()[0]!.name;
/** A computer that knows no cluster. */
export const stranger = (): CliOptions => ({ env: { FLYNN_HOME: at('home') } });

/** Sets the stage. */
export async function setStage(): Promise<void> {
  dir = await mkdtemp(join(tmpdir(), 'flynn-oops-'));
  const { hosts: all, dir: labDir } = await labStatus(lab);
  const target = { ...lab, dir: labDir, existed: true, hosts: all };
  await labImage(target, join(root, 'templates/examples/hello'), 'hello:1', () => undefined);
  // On the hosts themselves: a line on top of what they have needs no transfer.
  const quits = `console.log('no database at db.example.test'); process.exit(3)`;
  const dockerfile = `FROM hello:1\nCMD ["node", "-e", "${quits}"]\n`;
  const build = ['docker', 'build', '-q', '-t', 'quits:1', '-'];
  await Promise.all(
    all.map(async ({ name }) => {
      const done = await labExec(name, build, { ...lab, input: dockerfile });
      expect(done.code, done.stderr).toBe(0);
    }),
  );

  await writeKeys(labDir);
  await run(['apps:destroy', '-a', app, '--yes']);
  await cli(['apps:create', app, '--no-remote']);
  await cli(['apps:create', empty, '--no-remote', '--if-missing']);
  await cli(['deploy', '-a', app, '--image', 'hello:1']);
  await cli(['scale', '-a', app, 'web=3']);
}

/** Clears it away. */
export async function clearStage(): Promise<void> {
  await heal(lab);
  for (const each of [app, empty]) await run(['apps:destroy', '-a', each, '--yes']);
  await rm(dir, { recursive: true });
}

/** Keys and ssh_configs: a right one, and one for every way to be wrong. */
async function writeKeys(labDir: string): Promise<void> {
  for (const name of ['other', 'developer', 'ci']) {
    const pair = makeKeyPair(name);
    await writeFile(at(name), pair.privateKey, { mode: 0o600 });
    await writeFile(at(`${name}.pub`), `${pair.publicKey}\n`);
  }
  const { privateKey } = generateKeyPairSync('ed25519', {
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  await writeFile(at('private.pub'), privateKey);
  await copyFile(join(labDir, 'known_hosts'), at('known'));
  const host = hosts()[0]!;
  const [type, blob] = (await readFile(at('other.pub'), 'utf8')).split(' ');
  await writeFile(at('changed'), `${host.ssh.host} ${type} ${blob}\n${host.name} ${type} ${blob}\n`);
  await writeFile(at('unknown'), '');
  const lines = (await readFile(join(labDir, 'ssh_config'), 'utf8')).split('\n');
  const config = (key: string, known: string): string =>
    lines
      .map((line) =>
        line.replace(/(IdentityFile) .*/, `$1 "${key}"`).replace(/(UserKnownHostsFile) .*/, `$1 "${known}"`),
      )
      .join('\n');
  const key = join(labDir, 'key');
  await writeFile(at('right.conf'), config(key, at('known')));
  await writeFile(at('wrong-key.conf'), config(at('other'), at('known')));
  await writeFile(at('changed.conf'), config(key, at('changed')));
  await writeFile(at('unknown.conf'), config(key, at('unknown')));
}
