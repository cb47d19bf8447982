// What the agent hears of Docker: events as a hint that is acted on at once, a list every few seconds as the truth.
import type { Docker, DockerEvent } from '../../docker/port.js';
import type { Clock } from '../../util/clock.js';
import type { Log } from '../../util/log.js';
import { listContainers } from './containers.js';
import { containerDied, containersListed } from './reduce.js';
import { volumesListed } from './reduce-volumes.js';
import { labels } from './spec.js';
import type { HostState } from './state.js';
import { listVolumes } from './volumes.js';

/** What the feed needs. */
export interface DockerFeedDeps {
  state: HostState;
  docker: Docker;
  clock: Clock;
  log: Log;
  changed: () => void;
}

/** Time between lists of the volumes, which only we change, ms. */
const volumesEveryMs = 60_000;
/** Time between lists (ms), while Docker answers and while it does not. */
const listEveryMs = 15_000;
const listAgainMs = 1_000;
/** Events come in bursts: one list a little later serves all of them. */
const burstMs = 50;
const eventActions = ['die', 'oom', 'start', 'destroy', 'pause', 'unpause'];

/** Follows Docker until the signal is aborted. */
export class DockerFeed {
  private listing: Promise<void> | undefined;
  private volumesAt = Number.NEGATIVE_INFINITY;
  private cancelNext = (): void => undefined;

  constructor(private readonly deps: DockerFeedDeps) {}

  /** Lists at once, and begins to follow. */
  start(signal: AbortSignal): void {
    signal.addEventListener('abort', () => this.cancelNext(), { once: true });
    void this.list(signal);
    void this.follow(signal);
  }

  /** Has a list made in that many ms, or earlier if one is due before. */
  private listIn(ms: number, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.cancelNext();
    this.cancelNext = this.deps.clock.after(ms, () => void this.list(signal));
  }

  private list(signal: AbortSignal): Promise<void> {
    this.listing ??= this.listOnce(signal).finally(() => (this.listing = undefined));
    return this.listing;
  }

  private async listOnce(signal: AbortSignal): Promise<void> {
    const { state, docker, clock, log, changed } = this.deps;
    this.cancelNext();
    const askedAt = clock.mono();
    try {
      const list = await listContainers(docker, state.host.name, signal);
      const volumes =
        this.volumesAt <= askedAt ? await listVolumes(docker, state.host.name, signal) : undefined;
      if (signal.aborted) return;
      if (volumes) {
        volumesListed(state, volumes, askedAt);
        this.volumesAt = askedAt + volumesEveryMs;
      }
      if (!state.dockerUp) log.info({ containers: list.length }, 'docker answers');
      containersListed(state, list, askedAt);
    } catch (error) {
      if (signal.aborted) return;
      // What it listed last stays: that it does not answer says nothing of its containers.
      if (state.dockerUp)
        log.warn({ error: String(error) }, 'docker does not answer: its containers are left as they are');
      state.dockerUp = false;
    }
    changed();
    this.listIn(state.dockerUp ? listEveryMs : listAgainMs, signal);
  }

  private async follow(signal: AbortSignal): Promise<void> {
    const { docker, clock, log } = this.deps;
    while (!signal.aborted) {
      try {
        const events = docker.events({
          types: ['container'],
          actions: eventActions,
          labels: [labels.job],
          signal,
        });
        for await (const event of events) this.take(event, signal);
      } catch (error) {
        if (!signal.aborted) log.debug({ error: String(error) }, 'event stream of docker ended');
      }
      if (signal.aborted) return;
      // Between two streams events are lost: the list finds what happened.
      this.listIn(0, signal);
      await pause(clock, 500, signal);
    }
  }

  private take(event: DockerEvent, signal: AbortSignal): void {
    const { state, clock, changed } = this.deps;
    const container = state.containers.get(event.id);
    if (event.action === 'oom' && container) container.oomHint = true;
    if (event.action === 'die') {
      if (containerDied(state, event.id, { mono: clock.mono(), wall: clock.now() })) changed();
    }
    this.listIn(burstMs, signal);
  }
}

const pause = (clock: Clock, ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const cancel = clock.after(ms, end);
    function end(): void {
      cancel();
      signal.removeEventListener('abort', end);
      resolve();
    }
    signal.addEventListener('abort', end, { once: true });
  });
