// `sdutil configure`: files made of services, written anew when those change, and the program started again with them.
import { readFile, rename, stat, writeFile } from 'node:fs/promises';
import { FlynnError } from '../../api/errors.js';
import { systemClock as clock } from '../../util/clock.js';
import type { Rendering } from './args.js';
import type { Ended } from './child.js';
import type { DiscoveryClient } from './client.js';
import { followServices, settleMs, type Views } from './follow.js';
import { sayOnce } from './keep.js';
import { rerunner } from './rerun.js';
import { parseTemplate, render, type Template } from './template.js';

/** What `configure` is made of. */
export interface ConfigureOptions {
  client: DiscoveryClient;
  renderings: readonly Rendering[];
  argv: readonly string[];
  env: NodeJS.ProcessEnv;
}

interface Source {
  template: Template;
  dest: string;
  mode: number;
}

const read = async ({ template, dest }: Rendering): Promise<Source> => {
  try {
    const [text, { mode }] = await Promise.all([readFile(template, 'utf8'), stat(template)]);
    return { template: parseTemplate(text, template), dest, mode: mode & 0o777 };
  } catch (cause) {
    if (cause instanceof FlynnError) throw cause;
    const { code = String(cause) } = cause as NodeJS.ErrnoException;
    throw new FlynnError({ code: 'not_found', message: `${template} cannot be read: ${code}`, cause });
  }
};

/** Replaces a file whole: whoever reads it sees the old one or the new. */
const write = async ({ dest, mode }: Source, text: string): Promise<void> => {
  const temp = `${dest}.sdutil-${process.pid}`;
  try {
    await writeFile(temp, text, { mode });
    await rename(temp, dest);
  } catch (cause) {
    const { code = String(cause) } = cause as NodeJS.ErrnoException;
    throw new FlynnError({ code: 'failed', message: `${dest} cannot be written: ${code}`, cause });
  }
};

/** Runs the program with its files as services say; resolves with its own end, throws when a file cannot be written. */
export const configure = async (options: ConfigureOptions): Promise<Ended> => {
  const { client, argv, env } = options;
  const sources = await Promise.all(options.renderings.map(read));
  const names = sources.flatMap(({ template }) => template.services);
  const say = sayOnce((text) => void process.stderr.write(text));
  const program = rerunner(argv, clock);
  const over = new AbortController();
  let cancel = (): void => undefined;
  let failed: (error: unknown) => void = () => undefined;
  const failure = new Promise<never>((_resolve, reject) => (failed = reject));
  let turn = Promise.resolve();
  let before: string[] = [];
  const apply = async (views: Views): Promise<void> => {
    const texts = sources.map(({ template }) => render(template, views, env));
    const changed = sources.filter((_source, i) => texts[i] !== before[i]);
    for (const source of changed) await write(source, texts[sources.indexOf(source)] ?? '');
    before = texts;
    program.set({ id: JSON.stringify(texts), env });
  };
  const changed = (views: Views): void => {
    cancel();
    cancel = clock.after(settleMs, () => (turn = turn.then(() => apply(views)).catch(failed)));
  };
  try {
    if (names.length === 0) changed(new Map());
    const followed = followServices({ client, clock, say }, names, changed, over.signal);
    return await Promise.race([program.ended, failure, followed.then(() => program.ended)]);
  } finally {
    cancel();
    over.abort();
    program.close();
  }
};
