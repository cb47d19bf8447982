// ULIDs in lower case: 26 characters that sort by time of creation and fit in host names and keys.
import type { Rng } from './rng.js';

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/** A ULID: 48 bits of `now` (ms since 1970), then 80 random bits, in Crockford's base 32, lower case. */
export const ulid = (now: number, rng: Rng): string => {
  let time = '';
  for (let rest = Math.floor(now), i = 0; i < 10; i++, rest = Math.floor(rest / 32)) {
    time = ALPHABET.charAt(rest % 32) + time;
  }
  let random = '';
  let bits = 0;
  let buffer = 0;
  for (const byte of rng.bytes(10)) {
    buffer = (buffer << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      random += ALPHABET.charAt((buffer >>> bits) & 31);
    }
    buffer &= (1 << bits) - 1;
  }
  return time + random;
};

/** Whether the text has the form of a ULID of ours. */
export const isUlid = (text: string): boolean => /^[0-7][0-9a-hjkmnp-tv-z]{25}$/.test(text);

/** The time a ULID was made, milliseconds since 1970; NaN when it is none. */
export const ulidTime = (text: string): number =>
  isUlid(text) ? [...text.slice(0, 10)].reduce((sum, c) => sum * 32 + ALPHABET.indexOf(c), 0) : Number.NaN;
