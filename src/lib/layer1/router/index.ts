// What the router room offers: the appliance, and the port that another proxy would implement.
export type { RouterBackend } from './backend.js';
export { runRouter } from './run.js';
