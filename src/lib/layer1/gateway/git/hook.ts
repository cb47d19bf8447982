// The pre-receive hook: a few lines of shell that ask the gateway over a socket handed down as a descriptor.
import { constants } from 'node:fs';
import { access, mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { FlynnError } from '../../../api/errors.js';
import { parseUpdate, type RefUpdate } from './updates.js';

/** The descriptor that `git receive-pack` and all below it inherit from us. */
export const hookDescriptor = 3;

/** Bytes that a hook may tell: a push of all branches of a large repository names many. */
const mostBytes = 1024 * 1024;

/**
 * Says where the objects are that are not accepted yet, then the updates; prints each line that it is answered with,
 * and ends with the code that it is given. Without an answer the push is rejected.
 */
const script = `#!/bin/sh
# Asks the gateway, on descriptor ${hookDescriptor}, whether this push is accepted.
{
  echo "objects $GIT_OBJECT_DIRECTORY"
  echo "alternates $GIT_ALTERNATE_OBJECT_DIRECTORIES"
  while IFS= read -r update; do printf 'update %s\\n' "$update"; done
  echo end
} >&${hookDescriptor}
while IFS= read -r line; do
  case $line in
    'exit '*) exit "\${line#exit }" ;;
    *) printf '%s\\n' "\${line#say }" ;;
  esac
done <&${hookDescriptor}
echo 'the gateway was stopped in the middle of the push: push again'
exit 1
`;

/**
 * Writes the hook into `dir`. Throws `failed` where it could not be run: git would silently accept pushes without it.
 */
export async function installHook(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const path = join(dir, 'pre-receive');
  await writeFile(`${path}.new`, script, { mode: 0o755 });
  await rename(`${path}.new`, path);
  await access(path, constants.X_OK).catch((cause: unknown) => {
    throw new FlynnError({
      code: 'failed',
      message: `${path} cannot be executed`,
      hint: `mount | grep noexec   (${dir} must allow programs)`,
      cause,
    });
  });
}

/** What the hook tells. */
export interface HookQuestion {
  updates: RefUpdate[];
  /** Environment that makes objects visible which are not accepted yet. */
  objects: Record<string, string>;
}

/** The gateway's end of the hook's socket. */
export class HookTalk {
  constructor(private readonly socket: Duplex) {
    // git may be gone before we have said everything: its exit is what tells.
    socket.on('error', () => undefined);
  }

  /** What the hook asks; undefined when git ends without having run it. Throws `too_large`, `internal`. */
  question(): Promise<HookQuestion | undefined> {
    return new Promise((resolve, reject) => {
      let text = '';
      this.socket.setEncoding('utf8');
      const settle = (act: () => void): void => {
        this.socket.off('data', onData);
        this.socket.resume();
        act();
      };
      const onData = (chunk: string): void => {
        text += chunk;
        if (text.length > mostBytes) {
          const message = 'the push changes too many branches and tags at once';
          settle(() => reject(new FlynnError({ code: 'too_large', message, hint: 'git push flynn main' })));
        } else if (text.endsWith('end\n')) {
          settle(() => {
            try {
              resolve(parseQuestion(text));
            } catch (error) {
              reject(error);
            }
          });
        }
      };
      this.socket.on('data', onData);
      this.socket.once('close', () => settle(() => resolve(undefined)));
    });
  }

  /** Prints a line in the pusher's terminal; resolves when there is room for more, or nobody listens any more. */
  say(line: string): Promise<void> {
    return this.write(`say ${line.replace(/[\r\n]+/g, ' ')}\n`);
  }

  /** Ends the hook: 0 accepts the push. */
  async exit(code: number): Promise<void> {
    await this.write(`exit ${code}\n`);
    if (!this.socket.destroyed) this.socket.end();
  }

  private write(text: string): Promise<void> {
    const { socket } = this;
    if (socket.destroyed || socket.write(text)) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        socket.off('drain', done);
        socket.off('close', done);
        resolve();
      };
      socket.once('drain', done);
      socket.once('close', done);
    });
  }
}

/** Reads what the hook told, up to its `end`. Throws `internal` for anything that the hook does not say. */
export function parseQuestion(text: string): HookQuestion {
  const question: HookQuestion = { updates: [], objects: {} };
  for (const line of text.split('\n')) {
    if (line === '' || line === 'end') continue;
    const at = line.indexOf(' ');
    const [word, rest] = [line.slice(0, at), line.slice(at + 1)];
    const update = word === 'update' ? parseUpdate(rest) : undefined;
    if (update) question.updates.push(update);
    else if (word === 'objects' && rest !== '') question.objects.GIT_OBJECT_DIRECTORY = rest;
    else if (word === 'alternates' && rest !== '') question.objects.GIT_ALTERNATE_OBJECT_DIRECTORIES = rest;
    else if (word !== 'objects' && word !== 'alternates') {
      throw new FlynnError({ code: 'internal', message: `the hook said '${line.slice(0, 80)}'` });
    }
  }
  return question;
}
