// One watch as one stream of one endpoint: it delivers whole revisions in order, and it ends when anything is wrong.
import type { IWatchRequest, IWatchResponse } from 'etcd3';
import type { DuplexStream } from './etcd-endpoint.js';
import { rangeEnd, rangeStart, toEvent } from './etcd-wire.js';
import type { Watch, WatchEndReason, WatchEvent, WatchHandler } from './port.js';

/** How to get the stream, and how long the server has to confirm it (ms). */
export interface EtcdWatchOptions {
  open(signal: AbortSignal): Promise<DuplexStream<IWatchRequest, IWatchResponse>>;
  createTimeoutMs: number;
}

/** Starts a watch; see Store.watch. */
export const etcdWatch = (
  prefix: string,
  fromRevision: number,
  handler: WatchHandler,
  opts: EtcdWatchOptions,
): Watch => {
  const abort = new AbortController();
  let stream: DuplexStream<IWatchRequest, IWatchResponse> | undefined;
  let ended = false;
  let created = false;
  let pending: WatchEvent[] = [];

  const end = (reason: WatchEndReason, cause?: unknown): void => {
    if (ended) return;
    ended = true;
    clearTimeout(timer);
    abort.abort();
    stream?.cancel();
    handler.onEnd(reason, cause);
  };
  const timer = setTimeout(
    () => end('disconnected', new Error('the watch was not confirmed in time')),
    opts.createTimeoutMs,
  );

  const onResponse = (response: IWatchResponse): void => {
    if (ended) return;
    if (response.canceled) {
      const compacted = Number(response.compact_revision) > 0;
      return end(
        compacted ? 'compacted' : 'cancelled',
        new Error(response.cancel_reason || 'watch cancelled'),
      );
    }
    if (response.created) {
      created = true;
      clearTimeout(timer);
    }
    pending.push(...response.events.map(toEvent));
    // A large revision comes in fragments; half of one is never handed on.
    if (response.fragment) return;
    const events = pending;
    pending = [];
    if (events.length === 0) handler.onAlive?.();
    else handler.onEvents(events, Number(lastRevision(events)));
  };

  opts
    .open(abort.signal)
    .then((opened) => {
      // Listeners first: an error without one would end the process.
      opened.on('error', (error) => end('disconnected', error));
      opened.on('end', () => end('disconnected', new Error('the server ended the watch')));
      opened.on('data', (response) => {
        try {
          onResponse(response);
        } catch (error) {
          end('cancelled', error);
        }
      });
      if (ended) return opened.cancel();
      stream = opened;
      opened.write({
        create_request: {
          key: rangeStart(prefix),
          range_end: rangeEnd(prefix),
          start_revision: fromRevision,
          fragment: true,
        },
      });
    })
    .catch((error: unknown) => end('disconnected', error));

  return {
    requestProgress: () => {
      if (!ended && created) stream?.write({ progress_request: {} });
    },
    close: () => end('closed'),
  };
};

const lastRevision = (events: WatchEvent[]): number => {
  const last = events.at(-1) as WatchEvent;
  return last.type === 'put' ? last.entry.modRevision : last.modRevision;
};
