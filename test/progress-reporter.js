// What a person sees of a suite: a line every 10 s, each failure with its cause, and totals for bin/test.js.
import { writeFileSync } from 'node:fs';

export default class ProgressReporter {
  passed = 0;
  failed = 0;
  skipped = 0;
  started = Date.now();
  current = '';

  onTestRunStart() {
    this.timer = setInterval(() => {
      const seconds = Math.round((Date.now() - this.started) / 1000);
      console.error(
        `  … ${seconds} s, ${this.passed + this.failed} tests done${this.current ? `, now: ${this.current}` : ''}`,
      );
    }, 10_000);
    this.timer.unref();
  }

  onTestCaseReady(test) {
    this.current = test.fullName;
  }

  onTestCaseResult(test) {
    const result = test.result();
    if (result.state === 'passed') this.passed++;
    else if (result.state === 'skipped') this.skipped++;
    else {
      this.failed++;
      console.error(`  ✗ ${test.module.relativeModuleId ?? ''} ${test.fullName}`);
      for (const error of result.errors ?? []) console.error(indent(error.stack ?? error.message));
    }
  }

  onTestRunEnd(modules, errors) {
    clearInterval(this.timer);
    // A file that cannot be loaded, or a failed beforeAll, runs no test of its own: it counts as one failure.
    for (const module of modules) {
      const own = [
        ...module.errors(),
        ...[...module.children.allSuites()].flatMap((suite) => suite.errors()),
      ];
      for (const error of own) {
        this.failed++;
        console.error(`  ✗ ${module.relativeModuleId}\n${indent(error.stack ?? error.message)}`);
      }
    }
    for (const error of errors) {
      this.failed++;
      console.error(`  ✗ outside a test\n${indent(error.stack ?? error.message)}`);
    }
    const { passed, failed, skipped } = this;
    if (process.env.FLYNN_TEST_TOTALS)
      writeFileSync(process.env.FLYNN_TEST_TOTALS, JSON.stringify({ passed, failed, skipped }));
  }
}

function indent(text) {
  return text
    .split('\n')
    .slice(0, 30)
    .map((line) => `      ${line}`)
    .join('\n');
}
