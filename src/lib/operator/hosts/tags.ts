// Tags as people type them. Pure.
import { FlynnError } from '../../api/errors.js';
import { SetTags } from '../../api/sampi.js';

/** Reads `TAG=VALUE …` and the tags to take away; undefined when there is nothing to change. Throws `usage`. */
export function parseTags(pairs: readonly string[], unset: readonly string[]): SetTags | undefined {
  const hint = 'flynn hosts:tags a zone=north   (and --unset zone takes it away)';
  const set: Record<string, string> = {};
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at <= 0) throw new FlynnError({ code: 'usage', message: `'${pair}' is not TAG=VALUE`, hint });
    const tag = pair.slice(0, at);
    if (Object.hasOwn(set, tag) || unset.includes(tag)) {
      throw new FlynnError({ code: 'usage', message: `the tag ${tag} is named twice`, hint });
    }
    set[tag] = pair.slice(at + 1);
  }
  if (pairs.length === 0 && unset.length === 0) return undefined;
  const checked = SetTags.safeParse({ set, remove: [...unset] });
  if (checked.success) return checked.data;
  const issue = checked.error.issues[0];
  throw new FlynnError({
    code: 'usage',
    message: `tag ${String(issue?.path.at(-1) ?? '')}: ${issue?.message ?? 'not valid'}`,
    hint,
    cause: checked.error,
  });
}
