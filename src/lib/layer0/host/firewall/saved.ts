// What `iptables-save` printed, read; and what turns it into what it should be. Pure.
import { chainPrefix, type RuleSet } from './rules.js';

/** Chains of the filter table with their rules, without `-A CHAIN`, in order. Empty where there is no such table. */
export type Saved = ReadonlyMap<string, readonly string[]>;

/** Reads the filter table out of the text of `iptables-save`, counters or not. */
export const parseSaved = (text: string): Saved => {
  const chains = new Map<string, string[]>();
  let inFilter = false;
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) inFilter = line.trim() === '*filter';
    if (!inFilter) continue;
    const declared = /^:(\S+) /.exec(line)?.[1];
    if (declared !== undefined) chains.set(declared, chains.get(declared) ?? []);
    const rule = /^(?:\[\d+:\d+\] )?-A (\S+) (.*?)\s*$/.exec(line);
    if (rule?.[1] === undefined || rule[2] === undefined) continue;
    const rules = chains.get(rule[1]) ?? [];
    rules.push(rule[2]);
    chains.set(rule[1], rules);
  }
  return chains;
};

const isOurs = (name: string): boolean => name.startsWith(chainPrefix);

/** Rules of other chains that lead to ours. */
const jumpsIn = (saved: Saved): { from: string; rule: string }[] =>
  [...saved]
    .filter(([from]) => !isOurs(from))
    .flatMap(([from, rules]) => rules.map((rule) => ({ from, rule })))
    .filter(({ rule }) => rule.includes(`-j ${chainPrefix}`) || rule.includes(`-g ${chainPrefix}`));

/** One transaction for `iptables-restore --noflush`: chains are declared (and so emptied) first. */
const transaction = (chains: readonly string[], commands: readonly string[]): string =>
  ['*filter', ...chains.map((name) => `:${name} - [0:0]`), ...commands, 'COMMIT', ''].join('\n');

const same = (a: readonly string[] | undefined, b: readonly string[]): boolean =>
  a !== undefined && a.length === b.length && a.every((rule, i) => rule === b[i]);

/** The jumps that can be: a chain of somebody else's that is not there is not made. INPUT always is. */
const possible = (saved: Saved, wanted: RuleSet): RuleSet['jumps'] =>
  wanted.jumps.filter(({ from }) => from === 'INPUT' || saved.has(from));

/** The input of `iptables-restore --noflush` that makes our part as it should be; undefined when it is. */
export const changeTo = (saved: Saved, wanted: RuleSet): string | undefined => {
  const stale = [...saved.keys()].filter((name) => isOurs(name) && !wanted.chains.has(name));
  const jumps = possible(saved, wanted);
  const found = jumpsIn(saved);
  const hung =
    found.length === jumps.length && jumps.every(({ from, to }) => saved.get(from)?.[0] === `-j ${to}`);
  const filled = [...wanted.chains].every(([name, rules]) => same(saved.get(name), rules));
  if (hung && filled && stale.length === 0) return undefined;
  return transaction(
    [...wanted.chains.keys(), ...stale],
    [
      ...found.map(({ from, rule }) => `-D ${from} ${rule}`),
      ...jumps.map(({ from, to }) => `-I ${from} 1 -j ${to}`),
      ...[...wanted.chains].flatMap(([name, rules]) => rules.map((rule) => `-A ${name} ${rule}`)),
      ...stale.map((name) => `-X ${name}`),
    ],
  );
};

/** The input of `iptables-restore --noflush` that takes our chains and every jump to them away; undefined without any. */
export const removal = (saved: Saved): string | undefined => {
  const ours = [...saved.keys()].filter(isOurs);
  const found = jumpsIn(saved);
  if (ours.length === 0 && found.length === 0) return undefined;
  return transaction(ours, [
    ...found.map(({ from, rule }) => `-D ${from} ${rule}`),
    ...ours.map((name) => `-X ${name}`),
  ]);
};
