// A client that asks on a fixed beat, whatever the answers do: counts failures and the longest time without an answer.
import { Agent, request } from 'node:http';

export interface LoadOptions {
  /** `http://127.77.1.11:80`, asked in turn. Loopback and lab hosts only. */
  targets: readonly string[];
  /** Host header. */
  host: string;
  path?: string;
  /** Requests per second over all targets; asked on the beat, not after the last answer. */
  perSecond: number;
  /** Ends by itself after this long, ms, and after this many requests. */
  maxMs: number;
  maxRequests?: number;
  /** An answer later than this counts as failed, ms. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

export interface LoadFailure {
  /** ms since the start. */
  at: number;
  target: string;
  cause: string;
}

export interface LoadResult {
  requests: number;
  failed: number;
  /** Longest time between two good answers, ms, beginning and end of the run included. */
  longestGapMs: number;
  /** Milliseconds from asking to the whole answer, of the good ones: median, 99th of 100, worst. */
  medianMs: number;
  p99Ms: number;
  worstMs: number;
  /** At most the first 20. */
  failures: LoadFailure[];
  /** Answers by status and, when they are JSON with that field, by release. */
  releases: Record<string, number>;
  elapsedMs: number;
}

/** A running load: `stop()` lets what is under way finish and gives the result. */
export interface Load {
  /** Requests made so far. */
  requests(): number;
  stop(): Promise<LoadResult>;
  done: Promise<LoadResult>;
}

/** Starts asking. Bounded in time and count; connections are kept alive as a browser would. */
export function startLoad(options: LoadOptions): Load {
  const started = performance.now();
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  const timeoutMs = options.timeoutMs ?? 5_000;
  const latencies: number[] = [];
  const failures: LoadFailure[] = [];
  const releases: Record<string, number> = {};
  let requests = 0;
  let failed = 0;
  let open = 0;
  let lastGood = started;
  let longestGap = 0;
  let stopping = false;
  const { promise: done, resolve: finish } = deferred<LoadResult>();

  const good = (askedAt: number, body: string) => {
    const now = performance.now();
    latencies.push(now - askedAt);
    longestGap = Math.max(longestGap, now - lastGood);
    lastGood = now;
    const release = /"release":(\d+)/.exec(body)?.[1];
    if (release) releases[release] = (releases[release] ?? 0) + 1;
  };
  const bad = (target: string, askedAt: number, cause: string) => {
    failed++;
    if (failures.length < 20) failures.push({ at: Math.round(askedAt - started), target, cause });
  };
  const settle = () => {
    open--;
    if (stopping && open === 0) end();
  };
  const end = () => {
    const now = performance.now();
    longestGap = Math.max(longestGap, now - lastGood);
    agent.destroy();
    const sorted = latencies.sort((a, b) => a - b);
    const at = (share: number) =>
      Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
    finish({
      ...{ requests, failed, failures, releases },
      longestGapMs: Math.round(longestGap),
      medianMs: at(0.5),
      p99Ms: at(0.99),
      worstMs: at(1),
      elapsedMs: Math.round(now - started),
    });
  };
  const ask = () => {
    const target = options.targets[requests % options.targets.length] ?? '';
    requests++;
    open++;
    const askedAt = performance.now();
    let settled = false;
    const once = (outcome: () => void) => {
      if (settled) return;
      settled = true;
      outcome();
      settle();
    };
    const req = request(
      new URL(options.path ?? '/', target),
      { agent, headers: { host: options.host }, timeout: timeoutMs },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (body += body.length < 4096 ? chunk : ''));
        response.once('end', () =>
          once(() =>
            response.statusCode === 200
              ? good(askedAt, body)
              : bad(target, askedAt, `status ${response.statusCode}`),
          ),
        );
        response.once('error', (error) => once(() => bad(target, askedAt, error.message)));
      },
    );
    const timer = setTimeout(() => req.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    req.once('close', () => clearTimeout(timer));
    req.once('error', (error) => once(() => bad(target, askedAt, error.message)));
    req.end();
  };
  const stop = () => {
    if (!stopping) {
      stopping = true;
      clearInterval(timer);
      if (open === 0) end();
    }
    return done;
  };

  const beat = () => {
    const now = performance.now();
    const due = Math.floor(((now - started) / 1000) * options.perSecond);
    while (requests < due && !stopping) {
      if (options.maxRequests !== undefined && requests >= options.maxRequests) return void stop();
      ask();
    }
    if (now - started >= options.maxMs) void stop();
  };
  const timer = setInterval(beat, 5);
  options.signal?.addEventListener('abort', () => void stop(), { once: true });
  return { requests: () => requests, stop, done };
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => (resolve = settle));
  return { promise, resolve };
}
