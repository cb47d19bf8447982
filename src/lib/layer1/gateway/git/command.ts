// What a git client asks for on a channel: a push into one app's repository, and nothing else. Pure.
import { FlynnError } from '../../../api/errors.js';
import { AppName } from '../../../api/names.js';

const shape = /^git[- ]receive-pack (?:'([^']*)'|([^\s'"\\]+))$/;

/**
 * The path that a command pushes to, as git quotes it (`git-receive-pack '/hello.git'`); undefined for every other
 * command.
 */
export function pushPath(command: string): string | undefined {
  const match = shape.exec(command);
  return match?.[1] ?? match?.[2];
}

/** The app that a path such as `/hello.git`, `hello.git` or `hello` means. Throws `invalid` when it is no app's name. */
export function appOfPath(path: string): string {
  const name = path.replace(/^\//, '').replace(/\.git$/, '');
  const checked = AppName.safeParse(name);
  if (checked.success) return checked.data;
  throw new FlynnError({
    code: 'invalid',
    message: `'${path.slice(0, 60)}' leads to no app: ${checked.error.issues[0]?.message ?? 'it is not a name'}`,
    hint: 'git remote -v   (the URL ends in /APP.git)',
  });
}
