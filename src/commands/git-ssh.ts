// flynn git-ssh: what git calls instead of ssh in a work tree of an app; not for people.
import { FlynnCommand } from '../lib/ui/command.js';

export default class GitSsh extends FlynnCommand {
  static override description = 'what git calls instead of ssh (set by apps:create)';
  static override hidden = true;
  static override examples = [
    '<%= config.bin %> git-ssh --cluster prod -p 2222 flynn@HOST git-receive-pack /hello.git',
  ];
  // The words are ssh's, not ours: none of them is checked or taken away.
  static override strict = false;

  async run(): Promise<void> {
    const { cluster, rest } = ownFlag(this.argv);
    const [{ parseSshArguments }, { clusterFor, runOnGateway, runPlainSsh }] = await Promise.all([
      import('../lib/access/git-command.js'),
      import('../lib/access/git-ssh.js'),
    ]);
    const { env, stdin, stdout, stderr } = this.terminal;
    const request = parseSshArguments(rest);
    const context = await clusterFor(request, { env, ...(cluster ? { cluster } : {}) });
    if (!context) return this.endWith(await runPlainSsh(rest));
    if (request.asksConfig) return;
    this.endWith(await runOnGateway(context, request, env, { stdin, stdout, stderr }));
  }
}

/** Our one flag, which stands first, and the rest as git passed it. */
function ownFlag(argv: readonly string[]): { cluster?: string; rest: readonly string[] } {
  const [first = '', second] = argv;
  if (first === '--cluster' && second !== undefined) return { cluster: second, rest: argv.slice(2) };
  if (first.startsWith('--cluster='))
    return { cluster: first.slice('--cluster='.length), rest: argv.slice(1) };
  return { rest: argv };
}
