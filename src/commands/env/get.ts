// flynn env:get: the value of one variable, alone, for scripts.
import { Args } from '@oclif/core';
import { AppCommand } from '../../lib/access/command.js';
import { FlynnError } from '../../lib/api/errors.js';

interface Result {
  key: string;
  value: string;
}

export default class EnvGet extends AppCommand<Result> {
  static override description = 'print the value of one variable';
  static override examples = ['<%= config.bin %> env:get GREETING -a hello'];
  static override args = { key: Args.string({ description: 'name of the variable', required: true }) };

  async run(): Promise<Result> {
    const { args, flags } = await this.parse(EnvGet);
    const { parseKeys } = await import('../../lib/access/input.js');
    const [key = args.key] = parseKeys([args.key], 'flynn env:get GREETING');
    const { app, controller } = await this.target(flags);
    const env = await controller.env(app);
    if (!Object.hasOwn(env, key)) {
      throw new FlynnError({
        code: 'not_found',
        message: `${app} has no variable ${key}`,
        hint: `flynn env -a ${app}`,
      });
    }
    return { key, value: env[key] ?? '' };
  }

  protected override render({ value }: Result): void {
    this.print(value);
  }
}
