// Logs of an appliance: JSON lines on stdout, read with `flynn logs` or `docker logs`.
import { pino, type Logger } from 'pino';

export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

/** The log of one appliance on one host. */
export function createLog(appliance: string, host?: string): Log {
  return pino({
    base: { appliance, ...(host ? { host } : {}) },
    level: process.env.FLYNN_LOG_LEVEL ?? 'info',
  });
}

/** A log that keeps nothing, for tests and library use. */
export const silentLog: Log = pino({ level: 'silent' });
