// Times of what programs register by themselves, apart from the schemas: sdutil carries no schema library.

/** ms: how long a registration lives without news of it, and how often it is told. */
export const registrationTimes = { ttlMs: 10_000, heartbeatMs: 5_000 } as const;
