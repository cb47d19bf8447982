// Programs by argv, certificates beyond Debian's, lines of progress and free ports.
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { extraCertificates } from '../../../src/lib/lab/ca.js';
import { splitBundle } from '../../../src/lib/util/pem.js';
import { linesTo } from '../../../src/lib/lab/report.js';
import { anyTaken, freeLocalPort, publishPlan } from '../../../src/lib/lab/machine.js';
import { packageRoot } from '../../../src/lib/util/package-root.js';
import { run, runAny } from '../../../src/lib/lab/process.js';

const node = process.execPath;
const pem = (body: string): string => `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----`;

describe('running a program', () => {
  it('returns exit code and both outputs', async () => {
    const script = 'console.log("out"); console.error("err"); process.exitCode = 3';
    expect(await runAny(node, ['-e', script])).toEqual({ code: 3, stdout: 'out\n', stderr: 'err\n' });
  });

  it('passes arguments as they are, and stdin', async () => {
    const script = 'process.stdin.on("data", (d) => process.stdout.write(process.argv[1] + d))';
    expect(await run(node, ['-e', script, '$HOME `x`'], { input: '!' })).toBe('$HOME `x`!');
  });

  it('gives every line to who listens', async () => {
    const lines: string[] = [];
    await run(node, ['-e', 'process.stdout.write("a\\nb"); setTimeout(() => console.log("c"), 5)'], {
      onLine: (line) => lines.push(line),
    });
    expect(lines).toEqual(['a', 'bc']);
  });

  it('throws failed with the last words of a program that fails', async () => {
    const failing = run(node, ['-e', 'console.error("no disk"); process.exitCode = 1']);
    await expect(failing).rejects.toMatchObject({
      code: 'failed',
      message: expect.stringContaining('no disk'),
    });
  });

  it('throws missing for a program that is not there', async () => {
    await expect(run('no-such-program-of-the-lab', [])).rejects.toMatchObject({ code: 'missing' });
  });

  it('ends one that takes too long, and one that is not wanted any more', async () => {
    const forever = ['-e', 'setInterval(() => {}, 1000)'];
    await expect(run(node, forever, { timeoutMs: 100 })).rejects.toMatchObject({ code: 'timeout' });
    const reason = new Error('enough');
    const stop = new AbortController();
    setTimeout(() => stop.abort(reason), 50);
    await expect(run(node, forever, { signal: stop.signal })).rejects.toBe(reason);
  });
});

describe('certificates', () => {
  it('of the machine that the image lacks are found, whatever stands between them', () => {
    const machine = `${pem('AAAA')}\n# comment\r\n${pem('BBBB')}\n${pem('BBBB')}\n${pem('CCCC')}`;
    expect(splitBundle(machine)).toHaveLength(3);
    expect(extraCertificates(machine, `${pem('CCCC')}\n${pem('AAAA')}`)).toEqual([pem('BBBB')]);
    expect(extraCertificates(machine, machine)).toEqual([]);
  });
});

describe('progress', () => {
  it('goes to the line of its kind', () => {
    const got: string[] = [];
    const report = linesTo({
      step: (text) => got.push(`step ${text}`),
      done: (text) => got.push(`done ${text}`),
      warn: (text) => got.push(`warn ${text}`),
    });
    report({ code: 'engine.start', message: 'a' });
    report({ code: 'lab.ready', message: 'b' });
    report({ code: 'lab.warning', message: 'c' });
    expect(got).toEqual(['step a', 'done b', 'warn c']);
  });
});

describe('ports', () => {
  it('skips the ports that are taken', async () => {
    const first = await freeLocalPort();
    if (first === undefined) throw new Error('8080 to 8099 are all taken on this machine');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(first, '127.0.0.1', resolve));
    const place = { ip: '127.0.0.1', port: first, inner: 80 };
    const [second, taken] = await Promise.all([freeLocalPort(), anyTaken([place])]);
    await new Promise((resolve) => server.close(resolve));
    expect(second).not.toBe(first);
    expect(taken).toBe(true);
    expect(await anyTaken([place])).toBe(false);
  });

  it('publishes ssh, http, https and the gateway, and the shared port of the first host', async () => {
    const plan = await publishPlan(254, 0, 8099);
    expect(plan.map((p) => p.inner)).toEqual([22, 80, 443, 2222, 80]);
    expect(plan.at(-1)).toEqual({ ip: '127.0.0.1', port: 8099, inner: 80 });
    for (const one of plan) expect(one.ip).toMatch(/^127\./);
  });
});

describe('the checkout', () => {
  it('is the nearest directory with a package.json', () => {
    expect(packageRoot()).toBe(process.cwd());
  });
});
