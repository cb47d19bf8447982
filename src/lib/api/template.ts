// The hash that names a job template: equal specs share one record under `templates/`.
import { createHash } from 'node:crypto';
import { JobTemplate, type JobTemplateInput } from './job.js';

/** JSON with the keys of every object sorted, so that equal values give equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  );
}

/** Validates a template and returns it with its hash (22 characters of base64url, 132 bits) and its canonical text. */
export function nameTemplate(input: JobTemplateInput): { hash: string; template: JobTemplate; text: string } {
  const template = JobTemplate.parse(input);
  const text = canonicalJson(template);
  const hash = createHash('sha256').update(text).digest('base64url').slice(0, 22);
  return { hash, template, text };
}
