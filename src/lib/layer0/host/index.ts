// What the host appliance (Lorne) offers: its process, its API as a library, and the schemas of what it answers.
export { HostAgent, type AgentDeps } from './agent.js';
export { PushAnswer, PushRequest } from './images-push.js';
export { hostApi, mayCallAgent, PullRequest, SignalRequest } from './api.js';
export { AgentHealth, HostFacts } from './facts.js';
export { planHost } from './plan.js';
export { runHost } from './run.js';
