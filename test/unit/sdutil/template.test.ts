// Templates of configuration files: what they give, and that a mistake in one is named with its line.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FlynnError } from '../../../src/lib/api/errors.js';
import { addressesOf } from '../../../src/lib/layer0/sdutil/expose.js';
import { parseTemplate, render } from '../../../src/lib/layer0/sdutil/template.js';

const at = (id: string, address: string, port: number) => ({
  ...{ id, address, port, host: 'a', since: 0, meta: {}, epoch: port },
});
const web = [at('x', '10.0.0.1', 1), at('y', 'fd00::1', 2)];
const views = new Map([
  ['web', { name: 'web', leader: web[0] ?? null, instances: web }],
  ['db', { name: 'db', leader: null, instances: [] }],
]);
const made = (text: string) => render(parseTemplate(text), views, { A: 'b' });

describe('a template', () => {
  it('gives variables, leaders, and a piece for every instance', () => {
    expect(made('{{env A}}{{env B}} {{ leader web }} {{leader db}}.\n')).toBe('b 10.0.0.1:1 .\n');
    expect(made('{{#service web}}server {{id}} {{address}}:{{port}};\n{{/service}}end')).toBe(
      'server x 10.0.0.1:1;\nserver y [fd00::1]:2;\nend',
    );
    expect(parseTemplate('{{leader db}}{{#service web}}{{/service}}').services).toEqual(['db', 'web']);
  });

  it.each([
    ['a\n{{nonsense}}', 2],
    ['{{port}}', 1],
    ['{{#service web}}', 1],
    ['x\n\n{{/service}}', 3],
    ['{{#service web}}{{#service db}}{{/service}}{{/service}}', 1],
    ['{{ leader A_B }}', 1],
    ['{{leader a b}}', 1],
    ['{{ env A', 1],
  ])('%j is refused, its line named', (text, line) => {
    expect(() => parseTemplate(text, 'f')).toThrow(expect.objectContaining({ code: 'invalid' }) as Error);
    expect(() => parseTemplate(text, 'f')).toThrow(`f, line ${line}: `);
  });

  it('given any text, then a template or a coded error; text without braces is as it was', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          made(`{{${text}}}${text}`);
        } catch (error) {
          expect(error).toBeInstanceOf(FlynnError);
        }
        if (!text.includes('{{')) expect(made(text)).toBe(text);
      }),
    );
  });
});

describe('addresses for a program', () => {
  it('are there when every service has a leader', () => {
    expect(addressesOf([{ env: 'W', service: 'web' }], views)).toEqual({ W: '10.0.0.1:1' });
    const both = [
      { env: 'W', service: 'web' },
      { env: 'D', service: 'db' },
    ];
    expect(addressesOf(both, views)).toBeUndefined();
  });
});
