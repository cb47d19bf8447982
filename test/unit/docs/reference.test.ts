// The generated pages: they are as fresh as the sources, and say what a command is made of.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { commandReference, type CommandLike } from '../../../src/docs/reference.js';
import { answers, jsonSchemas } from '../../../src/docs/schemas.js';
import { exitCodes } from '../../../src/lib/api/errors.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));

describe('docs/', () => {
  it('given the sources as they are, when written anew, then nothing changes', async () => {
    const done = await promisify(execFile)(process.execPath, [join(root, 'bin/docs.js'), '--check'], {
      cwd: root,
    }).catch((error: { stderr: string }) => error);
    expect(done.stderr).toBe('');
  }, 30_000);
});

describe('the command reference', () => {
  const command = (own: Partial<CommandLike>): CommandLike => ({
    ...{ id: 'apps:create', description: 'create an app', args: {}, flags: {}, examples: [], aliases: [] },
    ...own,
  });
  const page = (...commands: CommandLike[]): string =>
    commandReference({
      bin: 'flynn',
      commands,
      topics: [{ name: 'apps', description: 'apps and more' }],
      schemas: new Set(['apps:create']),
    });

  it('given a command, then its usage, arguments, flags, examples, aliases and schema are there', () => {
    const text = page(
      command({
        args: { name: { name: 'name', description: 'its name', required: true } },
        flags: {
          image: { name: 'image', type: 'option', description: 'a | b', required: true },
          wait: { name: 'wait', type: 'boolean', char: 'w', description: 'wait', allowNo: true },
          size: { name: 'size', type: 'option', description: 'how large', default: 3, options: ['3', '4'] },
        },
        examples: ['<%= config.bin %> apps:create hello'],
        aliases: ['apps:new'],
      }),
    );
    for (const line of [
      '## apps',
      'Apps and more.',
      '### apps create',
      'Create an app.',
      'flynn apps create NAME --image VALUE [flags]',
      '| `NAME` | its name |',
      '| `--image VALUE` | a \\| b; needed |',
      '| `-w`, `--[no-]wait` | wait |',
      '| `--size VALUE` | how large; one of 3, 4; default: 3 |',
      'flynn apps:create hello',
      'Also: `apps new`.',
      'Under `--json`: [schemas/apps-create.json](schemas/apps-create.json).',
    ]) {
      expect(text.split('\n')).toContain(line);
    }
  });

  it('given words without an end, then the usage says so; one that tells its own usage is believed', () => {
    const args = { hosts: { name: 'hosts' } };
    expect(page(command({ id: 'join', strict: false, args }))).toContain('\nflynn join [HOSTS...]\n');
    expect(page(command({ id: 'run', usage: 'run COMMAND...' }))).toContain('\nflynn run COMMAND...\n');
  });

  it('given what is hidden, or an alias that stands for a command, then it is not there', () => {
    const secret = { name: 'secret', type: 'boolean', hidden: true };
    const text = page(
      command({ id: 'git-ssh', hidden: true }),
      command({ id: 'create', aliases: ['create'] }),
      command({ id: 'ps', flags: { secret } }),
    );
    expect(text).not.toMatch(/git-ssh|### create|secret/);
  });

  it('given the same commands in another order, then the text is the same', () => {
    const [a, b] = [command({ id: 'apps' }), command({ id: 'ps' })];
    expect(page(a, b)).toBe(page(b, a));
  });

  it('given every error code, then it stands beside the exit code that it ends with', () => {
    const rows = page().split('\n');
    for (const [name, exit] of Object.entries(exitCodes)) {
      expect(rows.filter((row) => row.startsWith(`| ${exit} |`) && row.includes(`\`${name}\``))).toHaveLength(
        1,
      );
    }
  });
});

describe('the schemas', () => {
  it('given every one, then it is that of an object, and forbids no further fields', () => {
    const schemas = jsonSchemas();
    expect([...schemas.keys()]).toEqual(['error', ...Object.keys(answers)]);
    for (const schema of schemas.values()) {
      expect(schema).toMatchObject({ type: 'object', $schema: expect.stringContaining('json-schema.org') });
      expect(JSON.stringify(schema)).not.toContain('"additionalProperties":false');
    }
  });
});
