// sdutil's command line: both forms of exec, flags that end at the first word, and what it refuses.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FlynnError } from '../../../src/lib/api/errors.js';
import { parseArgs } from '../../../src/lib/layer0/sdutil/args.js';

const www = { name: 'www', port: 8080 };
const words = (line: string) => line.split(' ');

describe('the command line', () => {
  it.each<[string, object]>([
    ['exec www:8080 cmd -s x', { do: 'exec', offers: [www], at: {}, argv: ['cmd', '-s', 'x'] }],
    ['exec -s www:8080 cmd', { do: 'exec', offers: [www], at: {}, argv: ['cmd'] }],
    [
      'exec -h 10.0.0.9 -s www:8080 -s db:1 cmd a',
      { do: 'exec', offers: [www, { name: 'db', port: 1 }], at: { address: '10.0.0.9' }, argv: ['cmd', 'a'] },
    ],
    ['exec -i eth0 www:8080 -- x', { do: 'exec', offers: [www], at: { iface: 'eth0' }, argv: ['--', 'x'] }],
    ['register www:8080', { do: 'register', offers: [www], at: {} }],
    ['services -1 www', { do: 'services', name: 'www', oldest: true }],
    ['services', { do: 'services', name: undefined, oldest: false }],
    [
      'expose -d redis -d DB:pg.main cmd',
      {
        do: 'expose',
        needs: [
          { env: 'REDIS', service: 'redis' },
          { env: 'DB', service: 'pg.main' },
        ],
        argv: ['cmd'],
      },
    ],
    [
      'configure -f /a.tpl:/b cmd',
      { do: 'configure', renderings: [{ template: '/a.tpl', dest: '/b' }], argv: ['cmd'] },
    ],
    ['check -s', { do: 'check', silent: true }],
  ])('sdutil %s', (line, order) => expect(parseArgs(words(line))).toEqual(order));

  it.each([
    'exec',
    'exec www:8080',
    'exec -s www:8080',
    'exec www cmd',
    'exec www:0 cmd',
    'exec www:65536 cmd',
    'exec A_B:1 cmd',
    'exec -x www:1 cmd',
    'exec -h a -i b www:1 cmd',
    'register',
    'services a b',
    'services -1',
    'expose cmd',
    'expose -d 1x:db cmd',
    'configure -f nothing cmd',
    'nonsense',
  ])('sdutil %s is refused as usage', (line) => {
    expect(() => parseArgs(words(line))).toThrow(expect.objectContaining({ code: 'usage' }) as FlynnError);
  });

  it('given any words, then an order or a coded error', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.string(), fc.constantFrom('exec', '-s', 'a:1', 'expose', '-d'))),
        (all) => {
          try {
            expect(parseArgs(all)).toHaveProperty('do');
          } catch (error) {
            expect(error).toBeInstanceOf(FlynnError);
          }
        },
      ),
    );
  });
});
