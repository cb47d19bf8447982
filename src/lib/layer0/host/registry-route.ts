// Decisions of the registry's forward: which copies a request may be put to, and what passes from side to side. Pure.
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';

/** What is known of a request before its body is read. */
export interface RequestLine {
  method: string;
  /** Path and query as the client wrote them. */
  path: string;
}

/** True for requests that change nothing: they carry no body and may be put to several copies. */
export const isRead = ({ method }: RequestLine): boolean => method === 'GET' || method === 'HEAD';

/**
 * True when a copy's 404 is no answer yet, because another copy may have what is asked for.
 * HEAD of a blob is the exception: a push asks it to leave out what is there, and then hands its manifest to the
 * first copy alone, which refuses a manifest whose blobs lie elsewhere.
 */
export const asksOnward = (line: RequestLine): boolean =>
  isRead(line) && !(line.method === 'HEAD' && /\/blobs\/[^/]+$/.test(pathOf(line.path)));

/** Name of the upload session in a path or a location; undefined when there is none. */
export const uploadOf = (path: string): string | undefined =>
  /\/blobs\/uploads\/([^/]+)$/.exec(pathOf(path))?.[1];

const pathOf = (path: string): string => path.replace(/[?#].*$/s, '');

/** Which copy began an upload session: no other copy knows of it. The least recently used sessions are forgotten. */
export class UploadBook {
  readonly #copies = new Map<string, string>();

  /** `limit`: sessions kept. */
  constructor(readonly limit = 1_000) {}

  /** Sessions in the book. */
  get size(): number {
    return this.#copies.size;
  }

  /** Address of the copy that began the session of this path; undefined when there is no session or it is unknown. */
  find(path: string): string | undefined {
    const upload = uploadOf(path);
    return upload === undefined ? undefined : this.#copies.get(upload);
  }

  /** Learns from a copy's answer: a location of a session is kept, a session that has ended is forgotten. */
  learn(address: string, line: RequestLine, answer: { status: number; location?: string }): void {
    const ended = uploadOf(line.path);
    const done = answer.status >= 200 && answer.status < 300 && /^(PUT|DELETE)$/.test(line.method);
    if (done && ended !== undefined) this.#copies.delete(ended);
    const upload = uploadOf(answer.location ?? '');
    if (upload === undefined) return;
    this.#copies.delete(upload);
    this.#copies.set(upload, address);
    for (const oldest of this.#copies.keys()) {
      if (this.#copies.size <= this.limit) return;
      this.#copies.delete(oldest);
    }
  }
}

const hopByHop = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/** Headers without those that belong to one connection. */
export const endToEnd = (headers: IncomingHttpHeaders): OutgoingHttpHeaders => {
  const named = (headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase());
  const dropped = new Set([...hopByHop, ...named]);
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !dropped.has(name)));
};

/** Headers for a copy: the client's own, its Host among them, with the framing that the body needs. */
export const towardsCopy = (line: RequestLine, headers: IncomingHttpHeaders): OutgoingHttpHeaders => {
  // The forward itself has told the client to go on.
  const { expect: _expect, ...rest } = endToEnd(headers);
  if (isRead(line)) {
    // Bodies of reads are not passed on: a length without its bytes would keep the copy waiting.
    delete rest['content-length'];
    return rest;
  }
  return headers['transfer-encoding'] === undefined ? rest : { ...rest, 'transfer-encoding': 'chunked' };
};

/** Body of a refusal in the registry's own format. */
export const errorBody = (code: string, message: string): string =>
  JSON.stringify({ errors: [{ code, message }] });
