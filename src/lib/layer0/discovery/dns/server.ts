// The name server of an agent: UDP and TCP on loopback, for the resolver of the host alone.
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { Rng } from '../../../util/rng.js';
import { BadQuestion, rcodes, readQuestion, writeFault, writeReply } from './message.js';
import { answerName, type NameSource } from './names.js';

/** What the server needs. */
export interface NameServerOptions {
  source: NameSource;
  rng: Rng;
  host: string;
  port: number;
  /** Told of failures of ours; a question never ends the server. */
  onFault(error: unknown): void;
}

const maxTcpBytes = 65_535;
const maxQuestionBytes = 4_096;
const idleMs = 5_000;
const maxConnections = 128;

/** The answer to a message, undefined when nothing is to be said. Never throws. */
export const answerMessage = (
  options: Pick<NameServerOptions, 'source' | 'rng' | 'onFault'>,
  message: Buffer,
  overTcp: boolean,
): Buffer | undefined => {
  try {
    const question = readQuestion(message);
    if (!question) return undefined;
    const reply = answerName(options.source, question.name, question.type, options.rng);
    return writeReply(question, reply, overTcp ? maxTcpBytes : question.size);
  } catch (error) {
    if (error instanceof BadQuestion) return writeFault(message, error.rcode);
    options.onFault(error);
    return message.length >= 2 ? writeFault(message, rcodes.failed) : undefined;
  }
};

/** Serves until it is closed; rejects when the port cannot be had. */
export const serveNames = async (options: NameServerOptions): Promise<{ close(): void }> => {
  const udp: UdpSocket = createSocket(options.host.includes(':') ? 'udp6' : 'udp4');
  udp.on('message', (message, from) => {
    const answer = answerMessage(options, message, false);
    // An asker that is gone is no fault of ours.
    if (answer) udp.send(answer, from.port, from.address, () => undefined);
  });
  udp.bind(options.port, options.host);
  await once(udp, 'listening');
  udp.on('error', options.onFault);
  const tcp: Server = createServer((socket) => converse(options, socket));
  tcp.maxConnections = maxConnections;
  try {
    tcp.listen(options.port, options.host);
    await once(tcp, 'listening');
  } catch (error) {
    udp.close();
    throw error;
  }
  tcp.on('error', options.onFault);
  return {
    close: () => {
      udp.close();
      tcp.close();
    },
  };
};

/** Questions one after another, each behind its length. */
const converse = (options: NameServerOptions, socket: Socket): void => {
  let rest: Buffer = Buffer.alloc(0);
  socket.setTimeout(idleMs, () => socket.destroy());
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 2) {
      const length = rest.readUInt16BE(0);
      if (length > maxQuestionBytes) return void socket.destroy();
      if (rest.length < 2 + length) return;
      const answer = answerMessage(options, rest.subarray(2, 2 + length), true);
      rest = rest.subarray(2 + length);
      if (!answer) return void socket.destroy();
      const size = Buffer.alloc(2);
      size.writeUInt16BE(answer.length);
      socket.write(Buffer.concat([size, answer]));
    }
  });
};
