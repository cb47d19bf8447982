// flynn lab down: takes a lab away without a trace.
import { Flags } from '@oclif/core';
import { FlynnCommand } from '../../lib/ui/command.js';
import type { LabDownResult } from '../../lib/lab/index.js';

export default class LabDown extends FlynnCommand<LabDownResult> {
  static override description = 'take a lab down: its hosts, their disks and its network';
  static override examples = ['<%= config.bin %> lab down', '<%= config.bin %> lab down --engine'];
  static override flags = {
    name: Flags.string({ description: 'which lab', default: 'default' }),
    engine: Flags.boolean({ description: 'stop the Docker engine too, if a lab started it' }),
  };

  async run(): Promise<LabDownResult> {
    const { flags } = await this.parse(LabDown);
    const { labDown, linesTo } = await import('../../lib/lab/index.js');
    return labDown({ name: flags.name, engine: flags.engine, signal: this.signal }, linesTo(this.report));
  }

  protected override render(result: LabDownResult): void {
    const hosts = result.removed.length > 0 ? `removed ${result.removed.join(', ')}` : 'was not up';
    this.print(`lab ${result.name}: ${hosts}${result.engineStopped ? '; the engine is stopped' : ''}`);
  }
}
