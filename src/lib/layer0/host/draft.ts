// A plan in the making: takes actions that may begin now, and remembers when to look again.
import { actionKey, needs, retryKey, type Action } from './actions.js';
import type { HostState, Now } from './state.js';

/** What is to be done now, and the mono time at which the plan has to be made again without any news. */
export interface Plan {
  actions: Action[];
  wakeAt: number | undefined;
}

/** Collects the actions of one plan. */
export class Draft implements Plan {
  readonly actions: Action[] = [];
  wakeAt: number | undefined;
  private readonly taken = new Set<string>();

  constructor(
    readonly state: HostState,
    readonly now: Now,
  ) {}

  /** Whether an action with that key is under way or in this plan. */
  isBusy(key: string): boolean {
    return this.state.busy.has(key) || this.taken.has(key);
  }

  /** Asks to plan again at that mono time. */
  wake(at: number): void {
    this.wakeAt = Math.min(this.wakeAt ?? Number.POSITIVE_INFINITY, at);
  }

  /**
   * Adds an action; not while another with its key is under way, not while its last failure is fresh, and not
   * without Docker if it needs it. True when it was added.
   */
  emit(action: Action): boolean {
    const key = actionKey(action);
    if (this.isBusy(key)) return false;
    if (needs(action) === 'docker' && !this.state.dockerUp) return false;
    const failed = this.state.retry.get(retryKey(action));
    if (failed && failed.at > this.now.mono) {
      this.wake(failed.at);
      return false;
    }
    this.taken.add(key);
    this.actions.push(action);
    return true;
  }
}
