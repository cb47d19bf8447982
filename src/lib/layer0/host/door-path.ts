// Where the operator's door is on a host.
import { join } from 'node:path';
import { doorSocket } from '../../api/door.js';
import { hostPaths } from '../../appliance/config.js';

/** Path of the socket, on the host and in the agent's container alike. */
export const doorPath = (): string => join(process.env.FLYNN_DATA ?? hostPaths.data, doorSocket);
