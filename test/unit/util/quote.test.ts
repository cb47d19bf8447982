// Quoting: whatever the words are, a real shell reads them back.
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { quoteArg, quoteArgv } from '../../../src/lib/util/quote.js';

/** What sh makes of a command line: its words, NUL-separated. */
const words = (lines: string[]): string[][] => {
  const script = lines.map((line) => `set -- ${line}; printf '%s\\0' "$#" "$@"`).join('\n');
  const parts = execFileSync('/bin/sh', ['-c', script], { encoding: 'utf8' }).split('\0');
  const out: string[][] = [];
  for (let i = 0; i < parts.length - 1;) {
    const count = Number(parts[i]);
    out.push(parts.slice(i + 1, i + 1 + count));
    i += 1 + count;
  }
  return out;
};

describe('quoteArgv', () => {
  it('given any words without NUL, when a shell splits the line, then it gets exactly those words', () => {
    const nasty = fc.constantFrom(
      "'",
      '"',
      '\\',
      '$',
      '`',
      '\n',
      ' ',
      '*',
      '~',
      '!',
      '#',
      ';',
      '&',
      '|',
      '-',
      '=',
      'a',
      '€',
    );
    const word = fc.oneof(
      fc.array(nasty, { maxLength: 8 }).map((cs) => cs.join('')),
      fc.string({ unit: 'grapheme' }).map((s) => s.replaceAll('\0', '')),
    );
    const batch = fc.array(fc.array(word, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(batch, (argvs) => {
        expect(words(argvs.map(quoteArgv))).toEqual(argvs);
      }),
      { numRuns: 50 },
    );
  });

  it('given a first word that is syntax to a shell, when run, then it is taken for a command', () => {
    for (const word of ['A=b', 'if', 'done', 'while', '!', '{', '~']) {
      expect(() => execFileSync('/bin/sh', ['-c', quoteArgv([word])], { stdio: 'pipe' })).toThrow(
        /not found/,
      );
    }
  });

  it('given plain words, when quoted, then they stay readable', () => {
    expect(quoteArgv(['docker', 'run', '--name=x', '-p', '80:80', 'a b', ''])).toBe(
      "docker run --name=x -p 80:80 'a b' ''",
    );
  });

  it('given a NUL or no word, when quoted, then it is refused', () => {
    expect(() => quoteArg('a\0b')).toThrow(TypeError);
    expect(() => quoteArgv(['a=\0'])).toThrow(TypeError);
    expect(() => quoteArgv([])).toThrow(TypeError);
  });
});
