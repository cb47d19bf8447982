// Prints every command that oclif finds in the sources, as JSON: for tests, in a process of its own (it loads TypeScript).
import { Config } from '@oclif/core';
import { register } from 'tsx/esm/api';
import { sourcesOptions } from '../../../bin/sources.js';

process.env.NODE_ENV = 'production';
register();
const options = sourcesOptions();
options.pjson.oclif.plugins = [];
const config = await Config.load(options);
const commands = config.commands.map((command) => ({
  id: command.id,
  description: command.description ?? '',
  examples: (command.examples ?? []).length,
  aliases: [...(command.aliases ?? []), ...(command.hiddenAliases ?? [])],
  flags: Object.fromEntries(Object.entries(command.flags).map(([name, flag]) => [name, flag.char ?? ''])),
}));
process.stdout.write(JSON.stringify({ commands, topics: config.topics.map((topic) => topic.name) }));
