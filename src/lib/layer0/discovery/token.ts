// The token by which a job shows which one it is: made from its id and a secret that only its host's agent has.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { FlynnError } from '../../api/errors.js';
import { JobId } from '../../api/names.js';

/** Tokens of one host's jobs. */
export interface Tokens {
  of(job: string): string;
  /** The job that an `Authorization` header proves to come from. Throws `refused`. */
  jobOf(authorization: string | undefined): string;
}

/** Tokens under a secret of 32 bytes. */
export const jobTokens = (secret: Buffer): Tokens => {
  const sign = (job: string): Buffer => createHmac('sha256', secret).update(`flynn job ${job}`).digest();
  const refused = (message: string): FlynnError =>
    new FlynnError({ code: 'refused', message, hint: 'send the header: Authorization: Bearer $FLYNN_TOKEN' });
  return {
    of: (job) => `${job}.${sign(job).toString('base64url')}`,
    jobOf: (authorization) => {
      if (authorization === undefined) throw refused('there is no token');
      const [, job = '', proof = ''] =
        /^Bearer ([a-z0-9-]{1,60})\.([A-Za-z0-9_-]{43})$/.exec(authorization) ?? [];
      const given = Buffer.from(proof, 'base64url');
      const ours = sign(job);
      if (!JobId.safeParse(job).success || given.length !== ours.length || !timingSafeEqual(given, ours)) {
        throw refused('the token is not one of a job of this host');
      }
      return job;
    },
  };
};
