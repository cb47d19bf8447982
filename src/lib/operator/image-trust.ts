// Build contexts whose images trust authorities that an operator brought. Pure.

/** Files of a build context by path. */
export type Files = Map<string, Buffer>;

/** Where Debian looks for authorities of one's own, whenever it makes its bundle anew. */
const own = '/usr/local/share/ca-certificates/flynn';
const bundle = '/etc/ssl/certs/ca-certificates.crt';

/**
 * The context with the certificates put in right after `FROM`, so that every later step trusts them. They are
 * appended to the bundle by hand: the tool that makes it may only be installed by one of those steps, over TLS.
 * Without certificates the context is what it was.
 */
export function trusting(files: Files, certificates: readonly string[]): Files {
  if (certificates.length === 0) return files;
  const dockerfile = files.get('Dockerfile')?.toString('utf8');
  if (dockerfile === undefined) throw new Error('the build context has no Dockerfile');
  const steps = [`COPY trust/ ${own}/`, `RUN mkdir -p /etc/ssl/certs && cat ${own}/*.crt >> ${bundle}`];
  const changed = new Map(files);
  changed.set(
    'Dockerfile',
    Buffer.from(dockerfile.replace(/^FROM .*$/m, (from) => [from, ...steps].join('\n'))),
  );
  // One each: Debian's tool takes a file for one certificate.
  certificates.forEach((pem, index) => changed.set(`trust/operator-${index}.crt`, Buffer.from(`${pem}\n`)));
  return changed;
}
