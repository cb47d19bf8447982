// flynn hosts:tags: the tags of a host, which constraints of jobs are about.
import { Args, Flags } from '@oclif/core';
import { GridCommand } from '../../lib/access/grid-command.js';

interface Tags {
  host: string;
  tags: Record<string, string>;
  changed: boolean;
}

export default class HostsTags extends GridCommand<Tags> {
  static override description = 'show, set and take away tags of a host, for jobs with constraints';
  static override hiddenAliases = ['host:tags'];
  static override examples = [
    '<%= config.bin %> hosts:tags a',
    '<%= config.bin %> hosts:tags a zone=north disk=ssd',
    '<%= config.bin %> hosts:tags a --unset disk',
  ];
  static override strict = false;
  static override args = {
    host: Args.string({ description: 'name of the host', required: true }),
    tags: Args.string({ description: 'TAG=VALUE, to be set' }),
  };
  static override flags = {
    unset: Flags.string({
      description: 'tag to take away; may be repeated',
      multiple: true,
      multipleNonGreedy: true,
    }),
  };

  async run(): Promise<Tags> {
    const { argv, flags } = await this.parse(HostsTags);
    const { checkWord, words } = await import('../../lib/operator/jobs/words.js');
    const { parseTags } = await import('../../lib/operator/hosts/tags.js');
    const [name = '', ...pairs] = argv.map(String);
    const host = checkWord(words.host, name);
    const change = parseTags(pairs, flags.unset ?? []);
    const { grid } = await this.access(flags);
    const { signal } = this;
    if (change) {
      const { changed, book } = await grid.tags(host, change, { signal });
      return { host, tags: book.tags, changed };
    }
    const { hostRow } = await import('../../lib/operator/hosts/rows.js');
    return { host, tags: hostRow(await grid.view({ signal }), host).tags, changed: false };
  }

  protected override render({ host, tags }: Tags): void {
    const all = Object.entries(tags);
    for (const [tag, value] of all) this.print(`${tag}=${value}`);
    if (all.length === 0) this.report.step(`${host} has no tags`);
  }
}
