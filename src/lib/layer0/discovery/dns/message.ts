// DNS on the wire, as far as our names need it: one question in, records of a few types out. Strict and pure.

/** Types of records that are known here; others are numbers. */
export const types = { A: 1, SOA: 6, AAAA: 28, SRV: 33, OPT: 41, ANY: 255 } as const;

/** Response codes. */
export const rcodes = { ok: 0, format: 1, failed: 2, noName: 3, notImplemented: 4, refused: 5 } as const;
export type Rcode = (typeof rcodes)[keyof typeof rcodes];

/** A question with what an answer has to repeat of it. */
export interface Question {
  id: number;
  /** The asker wants recursion: repeated, never done. */
  recurse: boolean;
  /** In lower case, without the dot at the end. */
  name: string;
  type: number;
  /** The question as it was written: an answer repeats its letters, small or capital. */
  raw: Buffer;
  /** Bytes that fit in an answer by UDP. */
  size: number;
  edns: boolean;
}

/** A record of an answer. Data is the type's own; `name` without the dot at the end. */
export type DnsRecord = { name: string; ttl: number } & (
  | { type: 'A' | 'AAAA'; address: string }
  | { type: 'SRV'; port: number; target: string }
  | { type: 'SOA'; minimum: number }
);

/** What is answered. */
export interface Reply {
  rcode: Rcode;
  answers: DnsRecord[];
  authority?: DnsRecord[];
  additional?: DnsRecord[];
}

const headerBytes = 12;
const plainUdpBytes = 512;
/** What passes every link unfragmented, whatever the asker says that it takes. */
const maxUdpBytes = 1232;

/** A question that cannot be answered: what is to be said to it, if anything can be. */
export class BadQuestion extends Error {
  constructor(
    readonly rcode: Rcode,
    message: string,
  ) {
    super(message);
  }
}

/**
 * Reads a message. Undefined for what is no question at all: nothing is said to it, or two servers could keep one
 * another busy. Throws a BadQuestion for one that is malformed or of a kind that is not known.
 */
export const readQuestion = (message: Buffer): Question | undefined => {
  if (message.length < headerBytes) return undefined;
  const flags = message.readUInt16BE(2);
  if (flags & 0x8000) return undefined;
  if ((flags >> 11) & 0xf) throw new BadQuestion(rcodes.notImplemented, 'another kind of request');
  const counts = [4, 6, 8, 10].map((at) => message.readUInt16BE(at));
  const [questions, answers, authority, additional = 0] = counts;
  if (questions !== 1 || answers !== 0 || authority !== 0 || additional > 1) {
    throw new BadQuestion(rcodes.format, 'not one question');
  }
  const { name, end } = readName(message, headerBytes);
  if (end + 4 > message.length) throw new BadQuestion(rcodes.format, 'cut off');
  const type = message.readUInt16BE(end);
  if (message.readUInt16BE(end + 2) !== 1) throw new BadQuestion(rcodes.refused, 'another class');
  const asked = {
    id: message.readUInt16BE(0),
    recurse: (flags & 0x0100) !== 0,
    ...{ name, type, raw: message.subarray(headerBytes, end + 4) },
  };
  const size = additional === 1 ? readSize(message, end + 4) : undefined;
  return {
    ...asked,
    edns: size !== undefined,
    size: size === undefined ? plainUdpBytes : Math.min(maxUdpBytes, Math.max(plainUdpBytes, size)),
  };
};

/** Size of an EDNS record, the only one that may follow a question; undefined for another record. */
const readSize = (message: Buffer, at: number): number | undefined => {
  if (at + 11 > message.length || message[at] !== 0) throw new BadQuestion(rcodes.format, 'no EDNS record');
  return message.readUInt16BE(at + 1) === types.OPT ? message.readUInt16BE(at + 3) : undefined;
};

/** A name of a question: it stands first, so that nothing in it can point to what was before. */
const readName = (message: Buffer, from: number): { name: string; end: number } => {
  const labels: string[] = [];
  let at = from;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > 63 || at + 1 + length > message.length || at - from > 254) {
      throw new BadQuestion(rcodes.format, 'no name');
    }
    at += 1;
    if (length === 0) return { name: labels.join('.'), end: at };
    // Bytes that no name of ours has become one that none has, so that a dot inside of a label separates nothing.
    const label = message.toString('latin1', at, at + length).toLowerCase();
    labels.push(/^[a-z0-9_-]+$/.test(label) ? label : '?');
    at += length;
  }
};

/** The first answer's name is the question's: written as a pointer to it. */
const pointer = Buffer.from([0xc0, headerBytes]);

const writeName = (name: string): Buffer =>
  Buffer.concat([
    ...name
      .split('.')
      .filter((label) => label !== '')
      .map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`, 'latin1')),
    Buffer.from([0]),
  ]);

const u16 = (...values: number[]): Buffer => {
  const out = Buffer.alloc(values.length * 2);
  values.forEach((value, i) => out.writeUInt16BE(value, i * 2));
  return out;
};
const u32 = (...values: number[]): Buffer => {
  const out = Buffer.alloc(values.length * 4);
  values.forEach((value, i) => out.writeUInt32BE(value, i * 4));
  return out;
};

/** Bytes of an address, 4 or 16. The text is one that `isIP` accepts, without a zone. */
export const addressBytes = (address: string): Buffer => {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number));
  const plain = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, ...parts) => {
    const [a, b, c, d] = parts.slice(0, 4).map(Number) as [number, number, number, number];
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  });
  const [head = '', tail] = plain.split('::');
  const words = (text: string): number[] =>
    text
      .split(':')
      .filter((word) => word !== '')
      .map((word) => parseInt(word, 16));
  const first = words(head);
  const last = tail === undefined ? [] : words(tail);
  const zeros = new Array<number>(Math.max(0, 8 - first.length - last.length)).fill(0);
  return u16(...first, ...(tail === undefined ? [] : zeros), ...last);
};

const dataOf = (record: DnsRecord): Buffer => {
  switch (record.type) {
    case 'A':
    case 'AAAA':
      return addressBytes(record.address);
    case 'SRV':
      return Buffer.concat([u16(0, 0, record.port), writeName(record.target)]);
    case 'SOA':
      return Buffer.concat([
        writeName('flynn'),
        writeName('grid.flynn'),
        u32(1, 3600, 600, 86400, record.minimum),
      ]);
  }
};

const writeRecord = (record: DnsRecord, asked: string): Buffer => {
  const data = dataOf(record);
  const name = record.name === asked ? pointer : writeName(record.name);
  return Buffer.concat([name, u16(types[record.type], 1), u32(record.ttl), u16(data.length), data]);
};

/** The message of a reply; records that do not fit in `limit` are left out, and the message says so. */
export const writeReply = (question: Question, reply: Reply, limit: number): Buffer => {
  const opt = question.edns
    ? Buffer.concat([Buffer.from([0]), u16(types.OPT, maxUdpBytes, 0, 0, 0)])
    : Buffer.alloc(0);
  const write = (records: readonly DnsRecord[] = []) => records.map((r) => writeRecord(r, question.name));
  const [answers, authority] = [write(reply.answers), write(reply.authority)];
  const fixed = headerBytes + question.raw.length + opt.length;
  const size = (parts: readonly Buffer[]) => parts.reduce((sum, part) => sum + part.length, 0);
  // What is additional goes first: an answer without it is whole.
  let additional = write(reply.additional);
  if (fixed + size([...answers, ...authority, ...additional]) > limit) additional = [];
  const cut = fixed + size([...answers, ...authority]) > limit;
  const sections = cut ? [[], [], []] : [answers, authority, additional];
  const flags = 0x8400 | (cut ? 0x0200 : 0) | (question.recurse ? 0x0100 : 0) | reply.rcode;
  const counts = sections.map((section) => section.length);
  counts[2] = (counts[2] ?? 0) + (question.edns ? 1 : 0);
  return Buffer.concat([u16(question.id, flags, 1, ...counts), question.raw, ...sections.flat(), opt]);
};

/** The message that a question which cannot be read is answered with: its id and why, nothing of it repeated. */
export const writeFault = (message: Buffer, rcode: Rcode): Buffer =>
  u16(message.readUInt16BE(0), 0x8400 | rcode, 0, 0, 0, 0);

/** A question as a client sends it. */
export const writeQuestion = (id: number, name: string, type: number): Buffer =>
  Buffer.concat([u16(id, 0x0100, 1, 0, 0, 0), writeName(name), u16(type, 1)]);
