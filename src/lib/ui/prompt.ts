// Questions to a person: only where somebody can answer, and never with a default that destroys.
import { FlynnError } from '../api/errors.js';
import { canAsk, type Terminal } from './terminal.js';

/** Who asks: the terminal, the signal that takes the question back, and whether `--yes` answered it before. */
export interface Asker {
  terminal: Terminal;
  signal?: AbortSignal;
  /** The answer is yes to everything. */
  yes?: boolean;
}

function refuse(question: string, flag: string): FlynnError {
  return new FlynnError({
    code: 'usage',
    message: `nobody can answer here: ${question}`,
    hint: `run it again with ${flag}`,
  });
}

async function prompter({ terminal, signal }: Asker) {
  const { default: inquirer } = await import('inquirer');
  return inquirer.createPromptModule({
    input: terminal.stdin,
    output: terminal.stderr,
    ...(signal ? { signal } : {}),
  });
}

/** Asks yes or no; the default is no. True at once with `--yes`; throws `usage` naming it where nobody can answer. */
export async function confirm(asker: Asker, question: string): Promise<boolean> {
  if (asker.yes) return true;
  if (!canAsk(asker.terminal)) throw refuse(question, '--yes');
  const ask = await prompter(asker);
  const { answer } = await ask<{ answer: boolean }>([
    { type: 'confirm', name: 'answer', message: question, default: false },
  ]);
  return answer;
}

/** As `confirm`, but a no ends the command with `interrupted` (130): nothing was done. */
export async function confirmOrStop(asker: Asker, question: string): Promise<void> {
  if (await confirm(asker, question)) return;
  throw new FlynnError({ code: 'interrupted', message: 'nothing was done' });
}
