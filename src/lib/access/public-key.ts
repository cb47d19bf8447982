// Finding the public key that a person means.
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { FlynnError } from '../api/errors.js';
import type { Terminal } from '../ui/terminal.js';
import { readAll } from './input.js';

const defaults = ['id_ed25519.pub', 'id_ecdsa.pub', 'id_rsa.pub'];
const largest = 20_000;

/**
 * One line of an OpenSSH public key: of the file, of standard input (`-`), or of the first default key in ~/.ssh.
 * Throws `not_found` when there is none, `usage` for a private key and for what is no key.
 */
export async function readPublicKey(
  terminal: Pick<Terminal, 'env' | 'cwd' | 'stdin'>,
  file?: string,
): Promise<string> {
  if (file === '-') return theKeyIn(await readAll(terminal.stdin, largest), 'standard input');
  if (file !== undefined) {
    const text = await readIfThere(resolve(terminal.cwd, file));
    if (text !== undefined) return theKeyIn(text, file);
    throw new FlynnError({ code: 'not_found', message: `${file} cannot be read`, hint: 'ls ~/.ssh/*.pub' });
  }
  const home = terminal.env.HOME ?? homedir();
  for (const name of defaults) {
    const path = join(home, '.ssh', name);
    const text = await readIfThere(path);
    if (text !== undefined) return theKeyIn(text, path);
  }
  throw new FlynnError({
    code: 'not_found',
    message: `there is no public key in ${join(home, '.ssh')}`,
    hint: 'ssh-keygen -t ed25519',
  });
}

function theKeyIn(text: string, where: string): string {
  if (text.includes('PRIVATE KEY')) {
    throw new FlynnError({
      code: 'usage',
      message: `${where} holds a private key, which nobody else should ever see`,
      hint: 'give the file that ends in .pub',
    });
  }
  const lines = text.split('\n').map((line) => line.trim());
  const keys = lines.filter((line) => line !== '' && !line.startsWith('#'));
  if (keys.length === 1 && /^[a-z0-9@.-]+ [A-Za-z0-9+/]+=*( .*)?$/.test(keys[0] ?? '')) return keys[0] ?? '';
  throw new FlynnError({
    code: 'usage',
    message: `${where} does not hold one OpenSSH public key`,
    hint: 'it looks like: ssh-ed25519 AAAA… name',
  });
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    // Absent and unreadable are the same to whoever looks for a key; the caller says which file it was.
    return undefined;
  }
}
