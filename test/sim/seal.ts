// Stands in for the encryption in simulated runs: no secrets, no dice of the system, and none of its cost.

const mark = 'sealed:';

/** Always the same key: a run depends on nothing but its seed. */
export const newKey = (): Buffer => Buffer.alloc(32, 1);

/** The text with its context, readable. */
export const seal = (_key: Buffer, plain: Buffer | string, context: string): string =>
  Buffer.from(JSON.stringify([mark, context, Buffer.from(plain).toString('base64')])).toString('base64');

/** The inverse; throws for another context. */
export const unseal = (_key: Buffer, sealed: string, context: string): Buffer => {
  const [text, of, data] = JSON.parse(Buffer.from(sealed, 'base64').toString()) as [string, string, string];
  if (text !== mark || of !== context) throw new Error('sealed for something else');
  return Buffer.from(data, 'base64');
};

/** The same pair for every host. */
export const newWrapKeys = (): { publicKey: string; privateKey: string } => ({
  publicKey: 'public',
  privateKey: 'private',
});

/** The key itself. */
export const wrapKey = (_public: string, key: Buffer): string => key.toString('base64');

/** The inverse. */
export const unwrapKey = (_private: string, wrapped: string): Buffer => Buffer.from(wrapped, 'base64');
