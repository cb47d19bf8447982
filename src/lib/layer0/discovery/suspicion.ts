// When a host is suspect: two independent processes of it were asked and neither answered, twice in a row. Pure.

/** The two processes of a host that are asked: the agent's health port and the router's monitor. */
export const endpoints = ['agent', 'router'] as const;
/** One of the two processes. */
export type Endpoint = (typeof endpoints)[number];

/** Figures of detection (RULES, "Figures"); times in milliseconds. */
export const probing = {
  intervalMs: 250,
  timeoutMs: 200,
  /** Misses in a row of each endpoint that make a host suspect. */
  misses: 2,
  /** Probes per second that one prober makes at most, whatever the number of hosts. */
  maxPerSecond: 1000,
} as const;

/** What is known of one endpoint. */
export interface EndpointState {
  /** Probes in a row without an answer. */
  readonly misses: number;
  /** When the first of those probes was sent, on the prober's monotonic scale; absent while it answers. */
  readonly silentSince?: number;
}

/** What is known of one host. */
export interface HostState {
  readonly agent: EndpointState;
  readonly router: EndpointState;
  /** Answered at least once since the prober started. */
  readonly seen: boolean;
}

/** A host that has not been asked yet. */
export const unasked: HostState = { agent: { misses: 0 }, router: { misses: 0 }, seen: false };

/** The state after one probe, sent at `sentAt`, was answered or missed. */
export function observe(state: HostState, endpoint: Endpoint, answered: boolean, sentAt: number): HostState {
  if (answered) return { ...state, [endpoint]: { misses: 0 }, seen: true };
  const before = state[endpoint];
  const after: EndpointState = { misses: before.misses + 1, silentSince: before.silentSince ?? sentAt };
  return { ...state, [endpoint]: after };
}

/**
 * Since when the whole host has been silent, undefined while it is not suspect.
 * The later of the two: before that moment one of its processes still answered, or had not been asked.
 */
export function suspectSince(state: HostState): number | undefined {
  let since = -Infinity;
  for (const name of endpoints) {
    const { misses, silentSince } = state[name];
    if (misses < probing.misses || silentSince === undefined) return undefined;
    since = Math.max(since, silentSince);
  }
  return since;
}

/** Milliseconds between two probes of one endpoint when that many hosts are probed. */
export function probeInterval(hosts: number): number {
  const probesPerTurn = hosts * endpoints.length;
  return Math.max(probing.intervalMs, (probesPerTurn * 1000) / probing.maxPerSecond);
}

/**
 * When to ask an endpoint again after a probe sent at `sentAt` has ended. A first miss is asked again as soon as
 * its timeout would have passed, also when it failed at once (nothing listens while a process restarts).
 */
export function nextProbeAt(state: EndpointState, sentAt: number, intervalMs: number): number {
  const recheck = state.misses > 0 && state.misses < probing.misses;
  return sentAt + (recheck ? probing.timeoutMs : intervalMs);
}
