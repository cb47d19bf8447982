// Takes the firewall off a host: our chains and the jumps to them, out of every packet filter that the host has.
import { restoreWith, saveWith, type RunTool } from './netfilter.js';
import { parseSaved, removal } from './saved.js';

/** Both variants by name, and whatever a host without these names calls iptables. */
const tools = ['-nft', '-legacy', ''].flatMap((variant) => [`iptables${variant}`, `ip6tables${variant}`]);

/** Removes what is there; false when nothing was. Throws `failed` with the tool's words. */
export const removeFirewall = async (run: RunTool, signal?: AbortSignal): Promise<boolean> => {
  let removed = false;
  for (const tool of tools) {
    const text = await saveWith(run, tool, signal);
    const change = text === undefined ? undefined : removal(parseSaved(text));
    if (change === undefined) continue;
    await restoreWith(run, tool, change, signal);
    removed = true;
  }
  return removed;
};
