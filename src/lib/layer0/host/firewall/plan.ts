// What to change in which of the kernel's two packet filters: the one that Docker uses gets the rules. Pure.
import { dockerChain, ruleSet, type Family, type FirewallInput } from './rules.js';
import { changeTo, removal, type Saved } from './saved.js';

/** The two implementations of iptables: rules of either hold, whichever the host's `iptables` means. */
export const variants = ['nft', 'legacy'] as const;
export type Variant = (typeof variants)[number];

/** One of the tables of a host. */
export interface Table {
  family: Family;
  variant: Variant;
}

/** What a table holds; absent from the list when its tools do not work on this host. */
export interface SeenTable extends Table {
  saved: Saved;
}

/** A change of one table: the input of its `iptables-restore --noflush`. */
export interface Change extends Table {
  text: string;
}

/** What is to be done, in this order, and what stays open nevertheless. */
export interface FirewallPlan {
  changes: Change[];
  problem?: string;
}

/** Docker's variants: all that hold its chain, for both filters see every packet. Before it made one, the first that works. */
const used = (tables: readonly SeenTable[], fallback: readonly Variant[]): Variant[] => {
  const holding = tables.filter(({ saved }) => saved.has(dockerChain)).map(({ variant }) => variant);
  if (holding.length > 0) return holding;
  const there = tables.map(({ variant }) => variant);
  const chosen = fallback.filter((variant) => there.includes(variant));
  return chosen.length > 0 ? chosen : there.slice(0, 1);
};

/** Brings our rules to the tables that they belong in, and takes them out of the others afterwards. */
export const planFirewall = (seen: readonly SeenTable[], input: FirewallInput): FirewallPlan => {
  const of = (family: Family): SeenTable[] =>
    variants.flatMap((variant) => seen.find((t) => t.family === family && t.variant === variant) ?? []);
  const v4 = used(of(4), []);
  const v6 = used(of(6), v4);
  const belongs = ({ family, variant }: Table): boolean => (family === 4 ? v4 : v6).includes(variant);
  const changes: Change[] = [];
  const change = ({ family, variant }: Table, text: string | undefined): void => {
    if (text !== undefined) changes.push({ family, variant, text });
  };
  const ordered = [...of(4), ...of(6)];
  for (const table of ordered.filter(belongs)) {
    change(table, changeTo(table.saved, ruleSet(table.family, input)));
  }
  for (const table of ordered.filter((t) => !belongs(t))) change(table, removal(table.saved));
  if (of(4).length === 0) return { changes, problem: 'iptables does not work on this host' };
  if (!of(4).some(({ saved }) => saved.has(dockerChain))) {
    return { changes, problem: `Docker has made no chain ${dockerChain}: its published ports are open` };
  }
  return { changes };
};
