// Asks the resolver for what it does not read from files, so that it knows that, too, when the agent is away.
import { createSocket } from 'node:dgram';
import type { Clock } from '../../../util/clock.js';
import { types, writeQuestion } from './message.js';
import { domain } from './names.js';

/** Questions sent at once, and the pause (ms) after them: the resolver is there for others. */
const batch = 50;
const pauseMs = 20;
/** The resolver measures in seconds: what it heard in this one it asks for again only in the next. */
const againMs = 1_050;

/** The questions about a service that its file does not answer. Pure. */
export const questionsOf = (service: string): [name: string, type: number][] => {
  const name = `${service}.${domain}`;
  return [
    [name, types.AAAA],
    [`leader.${name}`, types.AAAA],
    [name, types.SRV],
    [`_${service.split('.')[0]}._tcp.${name}`, types.SRV],
  ];
};

/** Asks about these services, and once more a moment later. Nobody waits for the answers; a lost one costs nothing. */
export const warm = async (
  clock: Clock,
  resolver: string,
  services: Iterable<string>,
  signal: AbortSignal,
  port = 53,
): Promise<void> => {
  const questions = [...services].flatMap(questionsOf);
  const socket = createSocket('udp4');
  socket.on('error', () => undefined);
  try {
    for (const round of [0, 1]) {
      if (round > 0) await clock.sleep(againMs, signal);
      for (let i = 0; i < questions.length; i += batch) {
        for (const [name, type] of questions.slice(i, i + batch)) {
          socket.send(writeQuestion((i + type) & 0xffff, name, type), port, resolver, () => undefined);
        }
        await clock.sleep(pauseMs, signal);
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    socket.close();
  }
};
