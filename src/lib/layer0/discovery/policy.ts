// Who may register what: a job its own ports under names that are its own or nobody's. Pure.
import type { Claim, JobTemplate } from '../../api/job.js';
import { FlynnError } from '../../api/errors.js';
import { reservedNames } from '../../api/names.js';
import type { ServiceInstance } from '../../api/discovery.js';
import { placePorts } from '../host/ports.js';
import { isSelfRegistered } from './records.js';

/** Who calls: a job, known by its token, or root on the host. */
export type Caller =
  { kind: 'job'; job: string; claim: Claim; template: JobTemplate | undefined } | { kind: 'host' };

/** Key of an instance's `meta` that says whose it is; programs cannot set it themselves. */
export const ownerKey = 'owner';

/** Whose a caller's registrations are: the first two parts of its claim's owner, such as `app/hello`. */
export const ownerOf = (caller: Caller): string =>
  caller.kind === 'host' ? 'host' : caller.claim.o.split('/').slice(0, 2).join('/');

const forbidden = (message: string, hint?: string): FlynnError =>
  new FlynnError({ code: 'forbidden', message, ...(hint ? { hint } : {}) });

/**
 * Throws `forbidden` for a name that cannot be the caller's, and `conflict` for one that others have now. A name with
 * dots belongs to the group that its last label names: `web.hello` to jobs of `app/hello`, whether any is registered
 * or not, so that nobody takes the traffic of an app that is down. Root on a host may register any but the grid's own.
 */
export const assertMayRegister = (
  caller: Caller,
  service: string,
  present: readonly ServiceInstance[],
): void => {
  const labels = service.split('.');
  const group = labels.at(-1) ?? '';
  if (labels[0] === 'leader' || (reservedNames as readonly string[]).includes(group)) {
    throw forbidden(`the service name ${service} is reserved`);
  }
  if (caller.kind === 'host') return;
  // Its own spec says so: its agent registers it under that name, too.
  if (caller.template?.service?.name === service) return;
  const own = ownerOf(caller);
  if (labels.length > 1 && own.split('/')[1] !== group) {
    throw forbidden(
      `a job of ${own} may not register ${service}: that name belongs to ${group}`,
      'choose a name without a dot, or one that ends in the name of its own app',
    );
  }
  const other = present.find(({ id, meta }) => !isSelfRegistered(id) || meta[ownerKey] !== own);
  if (!other) return;
  const whose = isSelfRegistered(other.id) ? (other.meta[ownerKey] ?? 'somebody else') : `job ${other.id}`;
  throw new FlynnError({
    code: 'conflict',
    message: `the service ${service} is registered by ${whose}`,
    hint: `sdutil services ${service}`,
  });
};

/**
 * The port of the host at which others reach the caller's port. Throws `forbidden` for one that the job does not have,
 * naming those that it has.
 */
export const hostPortOf = (caller: Caller, port: number): number => {
  if (caller.kind === 'host') return port;
  const placed = caller.template ? placePorts(caller.template, caller.claim) : [];
  const tcp = placed.filter(({ proto, hostPort }) => proto === 'tcp' && hostPort !== undefined);
  const found = tcp.find(({ container }) => container === port)?.hostPort;
  if (found !== undefined) return found;
  const has = tcp.map(({ container }) => container).join(', ');
  throw forbidden(
    `job ${caller.job} has no published port ${port}: ${has ? `it has ${has}` : 'it has none'}`,
    'name the port in the ports of its job spec, or listen on $PORT',
  );
};
