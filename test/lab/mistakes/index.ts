// The index of mistakes: every way to be wrong that the command line and git must answer well.
import { hostMistakes } from './hosts.js';
import type { Table } from './mistake.js';
import { pushMistakes } from './pushes.js';
import { releaseMistakes, storeMistakes } from './releases.js';
import { wayMistakes } from './ways.js';
import { wordMistakes } from './words.js';

/** All tables, in the order in which they are tried: the store last, since hosts are cut off for it. */
export const tables: readonly Table[] = [
  hostMistakes,
  wayMistakes,
  wordMistakes,
  pushMistakes,
  releaseMistakes,
  storeMistakes,
];
