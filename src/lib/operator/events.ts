// What the operator's actions tell while they work: typed events to a port, and the sentence each one makes.
import type { Finding } from './judge.js';

/** Something that happened during an action. `host` is the host's name in the cluster. */
export type OperatorEvent =
  | { type: 'phase'; text: string }
  | { type: 'finding'; finding: Finding }
  | { type: 'operation.start'; id: string; title: string; host?: string }
  | { type: 'operation.progress'; id: string; text: string; host?: string }
  | { type: 'operation.done'; id: string; title: string; host?: string; changed: boolean; ms: number }
  | { type: 'operation.failed'; id: string; title: string; host?: string; message: string };

/** Takes events; never throws. */
export interface OperatorReporter {
  event(event: OperatorEvent): void;
}

/** Says nothing. */
export const silentOperatorReporter: OperatorReporter = { event: () => undefined };

/** A line for people: what kind of line, and its text. */
export function lineOf(event: OperatorEvent): { kind: 'step' | 'done' | 'warn'; text: string } {
  switch (event.type) {
    case 'phase':
      return { kind: 'step', text: event.text };
    case 'finding': {
      const { level, host, message, hint } = event.finding;
      const text = `${host ? `${host}: ` : ''}${message}${hint ? `\n    ${hint}` : ''}`;
      return { kind: level === 'note' ? 'step' : 'warn', text };
    }
    case 'operation.start':
      return { kind: 'step', text: `${named(event)}${event.title}` };
    case 'operation.progress':
      return { kind: 'step', text: `${named(event)}${event.text}` };
    case 'operation.done': {
      const after = event.changed ? `(${(event.ms / 1000).toFixed(1)} s)` : '(nothing to do)';
      return { kind: 'done', text: `${named(event)}${event.title} ${after}` };
    }
    case 'operation.failed':
      return { kind: 'warn', text: `${named(event)}${event.title}: ${event.message}` };
  }
}

function named(event: { host?: string }): string {
  return event.host ? `${event.host}: ` : '';
}
