// From the start of sdutil to the first byte of the program that it wraps, beside the program alone and a bare Node.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { median, result, root, rounded, say } from './bench.js';

const rounds = 30;
const program = ['/bin/echo', 'started'];
const contenders: Record<string, string[]> = {
  sdutil: [join(root, 'dist/sdutil/sdutil'), 'exec', 'bench:1', ...program],
  alone: program,
  node: [process.execPath, '-e', 'process.stdout.write("started")'],
};

/** Milliseconds from spawn to the first byte on stdout, seen from outside. */
const firstByte = ([file = '', ...args]: string[]): Promise<number> =>
  new Promise((resolve, reject) => {
    const started = performance.now();
    // No discovery: what is timed does not wait for any.
    const child = spawn(file, args, {
      env: { ...process.env, FLYNN_DISCOVERY_SOCKET: '/nonexistent' },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let ms: number | undefined;
    child.stdout.once('data', () => (ms = performance.now() - started));
    child.once('error', reject);
    child.once('close', () => (ms === undefined ? reject(new Error(`${file} said nothing`)) : resolve(ms)));
  });

const took: Record<string, number[]> = {};
for (let round = 0; round <= rounds; round++) {
  for (const [name, argv] of Object.entries(contenders)) {
    const ms = await firstByte(argv);
    // The first round only warms the page cache, for all alike.
    if (round > 0) (took[name] ??= []).push(ms);
  }
}
for (const [name, values] of Object.entries(took)) {
  say(
    `${name}: median ${median(values).toFixed(1)} ms, worst ${Math.max(...values).toFixed(1)} ms of ${rounds}`,
  );
}
result('sdutil', {
  ms: rounded(median(took.sdutil ?? [])),
  worst_ms: rounded(Math.max(...(took.sdutil ?? []))),
  alone_ms: rounded(median(took.alone ?? [])),
  node_ms: rounded(median(took.node ?? [])),
});
