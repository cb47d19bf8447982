// Who asks, as the gateway says, and what a role may do.
import { Role } from '../../api/app.js';
import { FlynnError } from '../../api/errors.js';

/** A person or CI job behind a request. */
export interface Person {
  fingerprint: string;
  name: string;
  role: Role;
  /** Apps that a developer or deploy key is limited to; empty for a developer: every app. */
  apps: readonly string[];
}

/** What a request does. `read`: looks at an app; `deploy`: brings a release; `change`: anything else on an app. */
export type Action = 'read' | 'deploy' | 'change';

/** As much of a request as tells who asks: a hono context, or the headers of an upgrade. */
interface Asking {
  req: { header(name: string): string | undefined };
}

/** The person that the gateway authenticated. Throws `forbidden` without its headers. */
export function personOf(c: Asking): Person {
  const role = Role.safeParse(c.req.header('x-flynn-role'));
  const fingerprint = c.req.header('x-flynn-key');
  if (!role.success || !fingerprint) {
    throw new FlynnError({
      code: 'forbidden',
      message: 'the request does not say who asks: it must come through the gateway',
    });
  }
  const apps = (c.req.header('x-flynn-apps') ?? '')
    .split(',')
    .map((app) => app.trim())
    .filter((app) => app !== '');
  return { fingerprint, name: c.req.header('x-flynn-name') ?? fingerprint, role: role.data, apps };
}

/** Whether a person may do something to an app. */
export function mayApp(person: Person, app: string, action: Action): boolean {
  if (person.role === 'admin') return true;
  if (person.role === 'developer') return person.apps.length === 0 || person.apps.includes(app);
  return person.apps.includes(app) && action !== 'change';
}

/** Refuses what `mayApp` does not allow, and says which role it takes. */
export function requireApp(person: Person, app: string, action: Action): void {
  if (mayApp(person, app, action)) return;
  const needed = action === 'change' ? 'admin, or developer' : 'admin, developer, or deploy';
  throw new FlynnError({
    code: 'forbidden',
    message: `key ${person.name} (${person.role}${person.apps.length > 0 ? ` of ${person.apps.join(', ')}` : ''}) may not do this to app ${app}: it takes the role ${needed} of ${app}`,
    hint: `flynn keys:add KEYFILE --role ${action === 'change' ? 'developer' : 'deploy'} --app ${app}   (by an admin)`,
  });
}

/** Refuses everybody but the given roles. */
export function requireRole(person: Person, what: string, ...roles: Role[]): void {
  if (roles.includes(person.role)) return;
  throw new FlynnError({
    code: 'forbidden',
    message: `key ${person.name} has the role ${person.role}: ${what} takes the role ${roles.join(' or ')}`,
    hint: 'ask an admin of the cluster',
  });
}
