// The reason of a failed build: the last complaints of the builder, told once.
import { describe, expect, it } from 'vitest';
import { LastWords } from '../../../src/lib/layer1/builder/last-words.js';

const told = (lines: string[]) => {
  const said: string[] = [];
  const words = new LastWords((line) => said.push(line));
  for (const line of lines) words.line(line);
  return { said, words };
};

describe('the last words of a builder', () => {
  it.each<[string, string[], object]>([
    [
      'a complaint with what to type',
      ['-----> x', ' !     it broke', ' !     → mend it'],
      { message: 'it broke', hint: 'mend it' },
    ],
    ['a complaint alone', [' !     it broke'], { message: 'it broke' }],
    ['two lines of complaint', [' !     it broke:', ' !     in two'], { message: 'it broke: in two' }],
    ['no complaint', ['-----> x', 'npm error'], {}],
    ['a complaint that was not the end', [' !     old node', 'npm error'], {}],
    ['nothing', [], {}],
  ])('given %s, then the reason is that', (_name, lines, reason) => {
    expect(told(lines).words.reason()).toEqual(reason);
  });

  it('given a warning in between, then it is passed on in its place, and a reason is not', () => {
    const { said } = told(['one', ' !     a warning', 'two', ' !     the reason']);
    expect(said).toEqual(['one', ' !     a warning', 'two']);
  });

  it('given a warning at the end of a build that went well, when released, then it is passed on', () => {
    const { said, words } = told(['one', ' !     a warning']);
    words.release();
    expect(said).toEqual(['one', ' !     a warning']);
    expect(words.reason()).toEqual({});
  });

  it('given more complaints than a reason has, then they are output, and only the last ones are kept', () => {
    const { said } = told(Array.from({ length: 25 }, (_, n) => ` !     ${n}`));
    expect(said).toHaveLength(20);
  });
});
