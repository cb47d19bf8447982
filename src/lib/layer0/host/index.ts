// What the host appliance (Lorne) offers: its process, its API as a library, and the schemas of what it answers.
export { HostAgent, type AgentDeps } from './agent.js';
export { hostApi, mayCallAgent, mayCommandAgent } from './api.js';
export { hostRoutes } from './contract.js';
export * from './shapes.js';
export { planHost } from './plan.js';
export { runHost } from './run.js';
