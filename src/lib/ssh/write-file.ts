// Writing a file on a host: through stdin, beside its final name, renamed only when every byte has arrived.
import { randomUUID } from 'node:crypto';
import { posix } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { FlynnError } from '../api/errors.js';
import type { SshConnection, WriteFileOptions } from './port.js';
import { describeTarget } from './target.js';

// $1 path, $2 temporary file, $3 mode, $4 owner or '', $5 expected bytes or ''. Prints the size when $5 is empty.
// A connection that breaks in the middle looks like an end of input to `cat`: only the size tells them apart.
const STORE = `set -eu
umask 077
[ ! -d "$1" ] || { echo "$1 is a directory" >&2; exit 21; }
(set -C; : >"$2")
trap 'rm -f -- "$2"' EXIT
trap 'exit 1' HUP INT TERM PIPE
cat >"$2"
n=$(wc -c <"$2")
[ -z "$5" ] || [ "$n" -eq "$5" ] || { echo "$n of $5 bytes arrived" >&2; exit 74; }
[ -z "$4" ] || chown -- "$4" "$2"
chmod -- "$3" "$2"
sync -- "$2" 2>/dev/null || sync
if [ -n "$5" ]; then mv -fT -- "$2" "$1"; else echo "$n"; fi
trap - EXIT`;

const octal = (mode: number): string => (mode & 0o7777).toString(8).padStart(4, '0');

const failed = (conn: SshConnection, path: string, stderr: string): FlynnError =>
  new FlynnError({
    code: 'refused',
    message: `cannot write ${path} on ${describeTarget(conn.target)}: ${stderr.trim() || 'the host gave no reason'}`,
    hint: 'check the rights of the folder and the space on the disk',
  });

/** Writes `content` to `path` on the host; the file appears whole or not at all. Throws `refused` with the host's reason, and what a stream throws. */
export const writeRemoteFile = async (
  conn: SshConnection,
  path: string,
  content: string | Buffer | Readable,
  opts: WriteFileOptions,
): Promise<void> => {
  const { sudo, timeoutMs, signal } = opts;
  const run = { sudo, timeoutMs, signal };
  const temporary = posix.join(posix.dirname(path), `.flynn.${randomUUID()}`);
  const store = (bytes: string, input: Buffer | Readable) => {
    const args = [path, temporary, octal(opts.mode ?? 0o644), opts.owner ?? '', bytes];
    return conn.exec(['sh', '-c', STORE, 'sh', ...args], { ...run, input });
  };
  if (!(content instanceof Readable)) {
    const bytes = Buffer.from(content);
    const done = await store(String(bytes.length), bytes);
    if (done.code !== 0) throw failed(conn, path, done.stderr);
    return;
  }
  let sent = 0;
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      sent += chunk.length;
      done(null, chunk);
    },
  });
  content.once('error', (error) => counted.destroy(error));
  try {
    // The length is known only at the end: stored first, renamed when the host has as much as we sent.
    const stored = await store('', content.pipe(counted));
    if (stored.code !== 0) throw failed(conn, path, stored.stderr);
    if (Number(stored.stdout) !== sent || !content.readableEnded)
      throw failed(conn, path, `${stored.stdout.trim()} of ${sent} bytes arrived`);
    const renamed = await conn.exec(['mv', '-fT', '--', temporary, path], run);
    if (renamed.code !== 0) throw failed(conn, path, renamed.stderr);
  } catch (error) {
    // The first error counts; where the connection is gone, nothing more can be done either.
    if (!conn.closed)
      await conn.exec(['rm', '-f', '--', temporary], { sudo, timeoutMs: 10_000 }).catch(() => undefined);
    throw error;
  }
};
