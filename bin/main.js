// What run.js and dev.js share: oclif with our command line rules around it, and the end of the process.
import { Config, Errors, flush, run } from '@oclif/core';
import { guardRunWords, hoistGlobalFlags } from './argv.js';

/** How long a handle that somebody left open may keep the process after the command has ended, ms. */
const lingerMs = 3_000;

/**
 * Runs the command line; ends with its exit code.
 * @param {import('@oclif/core').Interfaces.LoadOptions} loadOptions
 */
export async function main(loadOptions) {
  // `flynn logs | head` closes our stdout early: that is no error of ours.
  process.stdout.on('error', (error) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  try {
    const config = await Config.load(loadOptions);
    const ids = new Set([...config.commandIDs, ...config.topics.map((topic) => topic.name)]);
    await run(guardRunWords(hoistGlobalFlags(process.argv.slice(2), ids)), config);
    await flush();
  } catch (error) {
    fail(error);
  }
  // Unreferenced: fires only when something that should have been closed still keeps the process alive.
  setTimeout(() => {
    if (process.env.FLYNN_DEBUG) process.stderr.write('something was left open: ended by force\n');
    process.exit();
  }, lingerMs).unref();
}

// Commands report their own failures; what arrives here went wrong before one ran, such as an unknown name.
function fail(error) {
  if (error instanceof Errors.ExitError) {
    process.exitCode = error.oclif?.exit ?? 1;
    return;
  }
  const known = error instanceof Errors.CLIError;
  process.exitCode = known ? 2 : 1;
  const body = {
    code: known ? 'usage' : 'internal',
    message: error instanceof Error ? error.message : String(error),
    hint: 'flynn help   (lists the commands)',
  };
  if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify(body, null, 2)}\n`);
  else process.stderr.write(`Error: ${body.message}\n  → ${body.hint}\n`);
  if (process.env.FLYNN_DEBUG && error instanceof Error) process.stderr.write(`${error.stack}\n`);
}
