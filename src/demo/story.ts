// The demo's voice: says what it does, runs the command line as a person would, shows what it answers.
import { spawn } from 'node:child_process';
import { join } from 'node:path';

export interface StoryOptions {
  /** The package's folder. */
  root: string;
  /** Environment of the commands. */
  env: NodeJS.ProcessEnv;
}

/** Tells the story on stdout; ends it at the first command that fails. */
export class Story {
  private readonly started = performance.now();

  constructor(private readonly options: StoryOptions) {}

  /** A heading. */
  chapter(title: string): void {
    const seconds = Math.round((performance.now() - this.started) / 1000);
    process.stdout.write(`\n── ${title} ${'─'.repeat(Math.max(3, 70 - title.length))} ${seconds} s\n`);
  }

  /** A sentence. */
  say(text: string): void {
    process.stdout.write(`${text}\n`);
  }

  /** Seconds since the beginning, rounded. */
  get seconds(): number {
    return Math.round((performance.now() - this.started) / 1000);
  }

  /** Runs `flynn ARGS`, showing the command and all that it prints; returns its stdout. Throws when it fails. */
  flynn(args: string[], options: { quiet?: boolean; cwd?: string } = {}): Promise<string> {
    if (!options.quiet) this.say(`$ flynn ${args.map(quote).join(' ')}`);
    return this.command(process.execPath, [join(this.options.root, 'bin/run.js'), ...args], options);
  }

  /** Runs any command in the same way; `shown` prints it before. */
  async command(
    file: string,
    args: string[],
    options: { quiet?: boolean; cwd?: string; shown?: boolean } = {},
  ): Promise<string> {
    if (options.shown) this.say(`$ ${[file, ...args].map(quote).join(' ')}`);
    const child = spawn(file, args, {
      cwd: options.cwd ?? this.options.root,
      env: this.options.env,
      stdio: ['ignore', 'pipe', options.quiet ? 'pipe' : 'inherit'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      stdout += chunk.toString('utf8');
      if (!options.quiet) process.stdout.write(chunk);
    });
    child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString('utf8')));
    const code = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (exit) => resolve(exit ?? 1));
    });
    if (code !== 0) throw new Error(`${[file, ...args].join(' ')} ended with ${code}\n${stderr}`);
    return stdout;
  }
}

function quote(word: string): string {
  return /^[\w@%+=:,./~-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
