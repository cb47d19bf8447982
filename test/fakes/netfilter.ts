// A packet filter in memory: takes what iptables-restore takes, prints what iptables-save prints, refuses what it refuses.
import type { RunTool } from '../../src/lib/layer0/host/firewall/netfilter.js';

type Chains = Map<string, string[]>;

/** The filter tables of a host by tool (`iptables-nft`, `ip6tables-legacy` …), for as many as it has. */
export class FakeNetfilter {
  readonly tables = new Map<string, Chains>();
  /** Tools that changed something, in order. */
  readonly writes: string[] = [];
  /** While set, every change is refused with it. */
  refusal: string | undefined;

  constructor(tools: readonly string[] = ['iptables-nft', 'ip6tables-nft']) {
    for (const tool of tools) this.tables.set(tool, new Map());
  }

  /** What dockerd does at its start: its chain, ahead of what it forwards. */
  startDocker(tool = 'iptables-nft'): void {
    const table = this.table(tool);
    table.set('DOCKER-USER', table.get('DOCKER-USER') ?? ['-j RETURN']);
    const forward = (table.get('FORWARD') ?? []).filter((rule) => rule !== '-j DOCKER-USER');
    table.set('FORWARD', ['-j DOCKER-USER', ...forward]);
  }

  /** The chains of a tool's table; it must be there. */
  table(tool: string): Chains {
    const table = this.tables.get(tool);
    if (!table) throw new Error(`there is no ${tool}`);
    return table;
  }

  /** The rules of a chain, undefined where it is not. */
  rules(chain: string, tool = 'iptables-nft'): readonly string[] | undefined {
    return this.table(tool).get(chain);
  }

  /** The text of `iptables-save`. */
  print(tool = 'iptables-nft'): string {
    const table = this.table(tool);
    if (table.size === 0) return '';
    const builtin = ['INPUT', 'FORWARD', 'OUTPUT'];
    const chains = [...new Set([...builtin, ...table.keys()])];
    return [
      '*filter',
      ...chains.map((chain) => `:${chain} ${builtin.includes(chain) ? 'ACCEPT' : '-'} [3:180]`),
      ...chains.flatMap((chain) => (table.get(chain) ?? []).map((rule) => `-A ${chain} ${rule}`)),
      'COMMIT\n',
    ].join('\n');
  }

  /** Runs `TOOL-save` and `TOOL-restore` as a shell of the host would. */
  readonly run: RunTool = (argv, input) => {
    const [, tool = '', verb] = /^(.*)-(save|restore)$/.exec(argv[0] ?? '') ?? [];
    const refuse = (code: number, stderr: string) => Promise.resolve({ code, stdout: '', stderr });
    if (!this.tables.has(tool)) return refuse(127, `${argv[0]}: not found`);
    if (verb === 'save') return Promise.resolve({ code: 0, stdout: this.print(tool), stderr: '' });
    if (this.refusal !== undefined) return refuse(4, this.refusal);
    if (!argv.includes('--noflush')) return refuse(2, 'this would flush what is not ours');
    const changed = new Map([...this.table(tool)].map(([chain, rules]) => [chain, [...rules]]));
    try {
      carryOut(changed, input);
    } catch (error) {
      return refuse(1, String(error));
    }
    this.tables.set(tool, changed);
    this.writes.push(tool);
    return Promise.resolve({ code: 0, stdout: '', stderr: '' });
  };
}

const carryOut = (chains: Chains, text: string): void => {
  const lines = text.split('\n');
  if (lines[0] !== '*filter' || lines.at(-2) !== 'COMMIT' || lines.at(-1) !== '')
    throw new Error('no transaction');
  const of = (chain: string): string[] => {
    const rules = chains.get(chain);
    if (rules) return rules;
    if (!['INPUT', 'FORWARD', 'OUTPUT'].includes(chain)) throw new Error(`no chain ${chain}`);
    chains.set(chain, []);
    return chains.get(chain)!;
  };
  for (const line of lines.slice(1, -2)) {
    const [, declared] = /^:(\S+) - \[0:0\]$/.exec(line) ?? [];
    const [, verb, chain = '', rest = ''] = /^-([AIDX]) (\S+) ?(.*)$/.exec(line) ?? [];
    if (declared !== undefined) chains.set(declared, []);
    else if (verb === 'A') of(chain).push(checked(chains, rest));
    else if (verb === 'I')
      of(chain).splice(Number(rest.split(' ')[0]) - 1, 0, checked(chains, rest.slice(2)));
    else if (verb === 'D') {
      const at = of(chain).indexOf(rest);
      if (at < 0) throw new Error(`no such rule: ${line}`);
      of(chain).splice(at, 1);
    } else if (verb === 'X') {
      if (of(chain).length > 0) throw new Error(`not empty: ${chain}`);
      if ([...chains.values()].flat().some((rule) => rule.endsWith(`-j ${chain}`)))
        throw new Error(`in use: ${chain}`);
      chains.delete(chain);
    } else throw new Error(`not understood: ${line}`);
  }
};

/** A rule whose target is there. */
const checked = (chains: Chains, rule: string): string => {
  const target = / ?-j (\S+)$/.exec(rule)?.[1] ?? '';
  if (!['RETURN', 'DROP', 'ACCEPT'].includes(target) && !chains.has(target))
    throw new Error(`no target: ${rule}`);
  return rule;
};
