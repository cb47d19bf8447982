// The Docker room's front door: everything other rooms may import.
export { openDocker, openLocalDocker, DEFAULT_SOCKET, type DockerOptions } from './dockerode.js';
export { splitRef, type ImageRef } from './refs.js';
export type * from './port.js';
