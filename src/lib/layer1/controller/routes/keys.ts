// SSH keys over HTTP: who may use the gateway, and as what.
import type { Hono } from 'hono';
import { AddKey, SshKey } from '../../../api/app.js';
import { FlynnError } from '../../../api/errors.js';
import { keys } from '../../../api/keys.js';
import type { Entry } from '../../../store/index.js';
import type { ApiContext } from '../context.js';
import { eventOp } from '../events.js';
import { personOf, requireRole, type Person } from '../../shared/person.js';
import { parsePublicKey } from '../sshkey.js';
import { commit, contend, put, unchanged } from '../write.js';
import { body } from './body.js';

/** Adds the routes of keys. */
export function keyRoutes(api: Hono, context: ApiContext): void {
  api.get('/v1/whoami', (c) => {
    const { fingerprint, name, role, apps } = personOf(c);
    return c.json({ fingerprint, name, role, apps });
  });

  api.get('/v1/keys', (c) => {
    requireRole(personOf(c), 'seeing the keys', 'admin', 'developer');
    const all = [...context.picture.records.sshKeys.items().values()].map(({ value }) => value);
    return c.json({ keys: all.sort((a, b) => a.createdAt - b.createdAt) });
  });

  api.post('/v1/keys', async (c) => {
    const person = personOf(c);
    requireRole(person, 'adding keys', 'admin');
    return c.json(await addKey(context, person, await body(c)));
  });

  api.delete('/v1/keys/:fingerprint', async (c) => {
    const person = personOf(c);
    requireRole(person, 'removing keys', 'admin');
    await removeKey(context, person, c.req.param('fingerprint'));
    return c.json({ removed: true });
  });
}

/** Adds a key; one that is there with the same role and apps is returned as it is. */
async function addKey(context: ApiContext, person: Person, input: unknown): Promise<SshKey> {
  const request = AddKey.parse(input);
  const { fingerprint, type, blob, comment } = parsePublicKey(request.publicKey);
  const apps = [...new Set(request.apps)].sort();
  if (request.role === 'deploy' && apps.length !== 1) {
    throw new FlynnError({
      code: 'invalid',
      message: 'a deploy key is for exactly one app',
      hint: 'flynn keys:add KEYFILE --role deploy --app APP',
    });
  }
  const key = keys.sshKey(fingerprint);
  return contend(context, `key ${fingerprint}`, async () => {
    const stored = await context.store.get(key);
    if (stored) {
      const existing = SshKey.parse(JSON.parse(stored.value));
      const same = existing.role === request.role && [...existing.apps].sort().join() === apps.join();
      if (same) return existing;
      throw new FlynnError({
        code: 'exists',
        message: `key ${existing.name} (${fingerprint}) is there with the role ${existing.role}${existing.apps.length > 0 ? ` of ${existing.apps.join(', ')}` : ''}`,
        hint: `flynn keys:remove ${fingerprint}   (then add it with the new role)`,
      });
    }
    const made = SshKey.parse({
      fingerprint,
      type,
      blob,
      name: (request.name ?? (comment || fingerprint)).slice(0, 100),
      role: request.role,
      apps,
      createdAt: context.clock.now(),
    });
    const message = `${person.name} added key ${made.name} as ${made.role}`;
    const done = await commit(context, {
      compare: [unchanged(key, undefined)],
      then: [put(key, made), eventOp(context, { type: 'key.added', message, by: person.name })],
    });
    return done ? made : undefined;
  });
}

/** Removes a key. The last admin key stays: nobody could ever add another. */
async function removeKey(context: ApiContext, person: Person, fingerprint: string): Promise<void> {
  const key = keys.sshKey(fingerprint);
  await contend(context, `key ${fingerprint}`, async () => {
    const { entries } = await context.store.list(keys.sshKeys);
    const entry = entries.find((candidate) => candidate.key === key);
    if (!entry) {
      throw new FlynnError({
        code: 'not_found',
        message: `there is no key ${fingerprint}`,
        hint: 'flynn keys',
      });
    }
    const doomed = SshKey.parse(JSON.parse(entry.value));
    const otherAdmin = entries.find((other) => other.key !== key && isAdmin(other));
    if (doomed.role === 'admin' && !otherAdmin) {
      throw new FlynnError({
        code: 'conflict',
        message: `key ${doomed.name} is the last admin key: without it nobody could manage the cluster`,
        hint: 'flynn keys:add KEYFILE --role admin   (add another one first)',
      });
    }
    const message = `${person.name} removed key ${doomed.name}`;
    const done = await commit(context, {
      // The other admin is compared as well: two removals at once must not take the last two.
      compare: [
        unchanged(key, entry),
        ...(doomed.role === 'admin' && otherAdmin ? [unchanged(otherAdmin.key, otherAdmin)] : []),
      ],
      then: [{ op: 'delete', key }, eventOp(context, { type: 'key.removed', message, by: person.name })],
    });
    return done || undefined;
  });
}

function isAdmin(entry: Entry): boolean {
  const parsed = SshKey.safeParse(JSON.parse(entry.value));
  return parsed.success && parsed.data.role === 'admin';
}
