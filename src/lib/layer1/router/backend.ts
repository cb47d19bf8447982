// What carries the traffic, as the syncer sees it. HAProxy implements it; another proxy can.
import type { Desired } from './state.js';

/** Open requests of withdrawn instances by job id; those without any are left out. */
export type Draining = Record<string, number>;

/** A proxy process that the syncer drives and that outlives the syncer. */
export interface RouterBackend {
  /**
   * Brings the state into effect and resolves when the proxy has confirmed all of it. Starts the proxy, or takes over
   * the one that runs. Throws a FlynnError when it could not: what was in effect before still is.
   * One call at a time.
   */
  apply(desired: Desired): Promise<Applied>;
  /** Counts the open requests of withdrawn instances, and removes those that have none. One call at a time with apply. */
  drain(): Promise<DrainState>;
  /** Calls back when the proxy died or was replaced by hand: apply again at once. */
  onDeath(callback: () => void): void;
  /** Lets go of the proxy without touching it. */
  close(): void;
}

/** How a state came into effect. */
export interface Applied {
  how: 'nothing' | 'runtime' | 'reload' | 'start' | 'takeover';
  /** Changes made one by one. */
  changes: number;
}

/** Where withdrawals stand. */
export interface DrainState {
  draining: Draining;
  /** Withdrawn instances that the proxy still knows, with or without open requests. */
  lingering: number;
}
