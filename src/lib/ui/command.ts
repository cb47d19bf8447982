// The base of every command: data out of run(), text or JSON on stdout, progress on stderr, errors with their codes.
import { Command, Flags } from '@oclif/core';
import { FlynnError, isFlynnError } from '../api/errors.js';
import { judge, printFailure } from './errors.js';
import { createReporter, type Reporter } from './report.js';
import { systemTerminal, type Terminal } from './terminal.js';

/** How long the closing of one thing may take before the command ends without it, ms. */
const closeMs = 2_000;

/**
 * A command returns its result from `run()` and prints it in `render()`; under `--json` the result itself is the
 * document on stdout. Anything thrown ends in one place, with the exit code of its error code.
 * `Result` is an object, or void for commands that stream (they print with `print` and `printJson`).
 */
export abstract class FlynnCommand<Result extends object | void = void> extends Command {
  static override enableJsonFlag = true;
  static override baseFlags = {
    cluster: Flags.string({
      char: 'c',
      description: 'cluster to talk to (default: FLYNN_CLUSTER, then the default one)',
      helpGroup: 'GLOBAL',
    }),
  };

  /** Where it reads and writes; tests put their own here before the run. */
  terminal: Terminal = systemTerminal();
  private readonly closers: (() => Promise<void> | void)[] = [];
  private reporter: Reporter | undefined;
  private interruption: AbortController | undefined;

  /** Does the work and returns the result. */
  abstract override run(): Promise<Result>;

  /** Prints the result for people, with `print`. Not called under --json. */
  protected render(_result: Result): void {
    // Nothing: a command whose progress says it all needs no more words.
  }

  /** Progress and warnings; silent under --json. */
  protected get report(): Reporter {
    this.reporter ??= createReporter(this.terminal, { silent: this.jsonEnabled() });
    return this.reporter;
  }

  /** Aborted at the first Ctrl-C, with an `interrupted` error as reason. Who never asks for it is ended by Ctrl-C. */
  protected get signal(): AbortSignal {
    if (!this.interruption) {
      const interruption = new AbortController();
      this.interruption = interruption;
      this.defer(
        this.terminal.onInterrupt(() =>
          interruption.abort(new FlynnError({ code: 'interrupted', message: 'interrupted' })),
        ),
      );
    }
    return this.interruption.signal;
  }

  /** Closes something when the command ends, however it ends; last in, first out. An open handle would keep the process alive. */
  protected defer(close: () => Promise<void> | void): void {
    this.closers.push(close);
  }

  /** A line of the result. */
  protected print(text = ''): void {
    this.terminal.stdout.write(`${text}\n`);
  }

  /** One document of a stream of JSON lines. */
  protected printJson(value: unknown): void {
    this.terminal.stdout.write(`${JSON.stringify(value)}\n`);
  }

  /** Ends with this code although the command has a result. */
  protected endWith(exitCode: number): void {
    this.terminal.setExitCode(exitCode);
  }

  protected override async _run<T>(): Promise<T> {
    let result: Result | undefined;
    let failure: Error | undefined;
    try {
      await this.init();
      result = await this.run();
      if (!this.jsonEnabled()) this.render(result);
      else if (typeof result === 'object') this.logJson(result);
    } catch (thrown) {
      failure = thrown instanceof Error ? thrown : new Error(String(thrown));
      await this.catch(failure);
    } finally {
      await this.finally(failure);
    }
    return result as T;
  }

  override logJson(json: unknown): void {
    this.terminal.stdout.write(`${JSON.stringify(json, null, 2)}\n`);
  }

  protected override catch(thrown: Error): Promise<void> {
    // Calls that were cut off by Ctrl-C fail in many ways; unless the command says more, the reason is what happened.
    const cutOff = this.interruption?.signal.aborted === true && !isFlynnError(thrown, 'interrupted');
    const reason: unknown = cutOff ? this.interruption?.signal.reason : thrown;
    const failure = judge(reason, `${this.config.bin} ${this.id ?? ''} --help`);
    this.terminal.setExitCode(failure.exitCode);
    printFailure(failure, this.terminal, this.jsonEnabled());
    return Promise.resolve();
  }

  protected override async finally(_error: Error | undefined): Promise<void> {
    for (const close of this.closers.splice(0).reverse()) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, closeMs)));
      const closed = Promise.resolve()
        .then(close)
        .catch((error: unknown) => this.report.warn(`while closing: ${String(error)}`));
      await Promise.race([closed, late]);
      clearTimeout(timer);
    }
  }
}
