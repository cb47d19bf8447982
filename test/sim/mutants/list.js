// One-line sabotages of the product: each must make the named invariant fail, or that invariant guards nothing.

const layer0 = 'src/lib/layer0';
const controller = 'src/lib/layer1/controller';

/**
 * @typedef {object} Mutant
 * @property {string} name what is sabotaged, in words
 * @property {string} file the source
 * @property {string} find the text, which is there once
 * @property {string} replace what stands there instead
 * @property {string} invariant the one that must fail
 * @property {object} [run] options of the run that shows it
 */

/** @type {Mutant[]} */
export const mutants = [
  {
    name: 'no guard on the book',
    file: `${layer0}/sampi/commit.ts`,
    find: "return { key: keys.hostBook(host), target: 'mod', op: '=', value: loaded.book?.revision ?? 0 };",
    replace: "return { key: keys.hostBook(host), target: 'mod', op: '>', value: 0 };",
    invariant: 'books',
    run: { kinds: ['slow network', 'sampi crash'], changeGapMs: 1_500 },
  },
  {
    name: 'memory is not judged',
    file: `${layer0}/sampi/book.ts`,
    find: 'if (memory > free.m) {',
    replace: 'if (memory < 0) {',
    invariant: 'capacity',
  },
  {
    name: 'a port that is taken is handed out',
    file: `${layer0}/sampi/ports.ts`,
    find: 'if (!taken.has(next) && !quiet.has(next)) found.push(next);',
    replace: 'found.push(jobPorts.first + found.length);',
    invariant: 'ports',
  },
  {
    name: 'a freed port is handed out at once',
    file: `${layer0}/sampi/ports.ts`,
    find: 'const quiet = (this.quiet ??= new Set(this.freed.map(([port]) => port)));',
    replace: 'const quiet = (this.quiet ??= new Set<number>()); this.next = jobPorts.first;',
    invariant: 'misrouted',
    run: { kinds: ['router crash', 'cut off'], changeGapMs: 1_500 },
  },
  {
    name: "a retry does not look for the claim's own transaction",
    file: `${layer0}/sampi/book.ts`,
    find: 'if (existing.x !== context.txn || writes.has(request.job))',
    replace: '',
    invariant: 'placed-once',
    run: { kinds: ['lossy network', 'lost answers'], faultGapMs: 3_000, changeGapMs: 1_500 },
  },
  {
    name: 'a stop is not final',
    file: `${layer0}/sampi/book.ts`,
    find: "if (existing.w === want || existing.w === 'stop') {",
    replace: 'if (existing.w === want) {',
    invariant: 'stop-final',
  },
  {
    name: "sampi does not carry its caller's guards",
    file: `${layer0}/sampi/commit.ts`,
    find: 'return request.guards.map(({ key, createRevision }) => ({',
    replace: 'return request.guards.slice(9).map(({ key, createRevision }) => ({',
    invariant: 'fenced',
    run: { kinds: ['leader frozen at work'], faultGapMs: 8_000, changeGapMs: 1_500 },
  },
  {
    name: 'fenced writes carry no guard',
    file: 'src/lib/store/fenced.ts',
    find: '({ compare: guards, then: [{ op: ',
    replace: '({ compare: guards.slice(9), then: [{ op: ',
    invariant: 'epoch',
    run: { kinds: ['host frozen'], faultGapMs: 3_000 },
  },
  {
    name: "a session lives until the store says otherwise, not by one's own clock",
    file: 'src/lib/store/session.ts',
    find: 'const margin = opts.marginMs ??',
    replace: 'const margin = opts.marginMs ?? -3_600_000 +',
    invariant: 'one-leader',
    run: { kinds: ['host frozen', 'cut off'], faultGapMs: 3_000 },
  },
  {
    name: 'a watch that ended is taken up again without a list',
    file: 'src/lib/store/informer.ts',
    find: 'takeList(await store.list(prefix, { signal, pageSize: opts.pageSize }));',
    replace: 'if (revision === 0) takeList(await store.list(prefix, { signal, pageSize: opts.pageSize }));',
    invariant: 'converges',
  },
  {
    name: 'containers that nobody claims are stopped: an empty list counts',
    file: `${layer0}/host/plan-world.ts`,
    find: "draft.emit({ do: 'adopt', job: container.job, container: container.id });",
    replace: "draft.emit({ do: 'signal', job: container.job, container: container.id, signal: 'SIGTERM' });",
    invariant: 'stop-claimed',
    run: { restore: true },
  },
  {
    name: 'an instance is registered before its check has passed',
    file: `${layer0}/host/plan-job.ts`,
    find: "if (running && record.verdict === 'up') {",
    replace: 'if (running) {',
    invariant: 'check-first',
  },
  {
    name: 'a job is stopped before it is withdrawn',
    file: `${layer0}/host/plan-job.ts`,
    find: "  if (instance) {\n    draft.emit({ do: 'deregister', job, key: instance.key });\n    return;\n  }\n  // A registration",
    replace: '  // A registration',
    invariant: 'deregister-first',
  },
  {
    name: 'consumers are not waited for',
    file: `${layer0}/host/drain.ts`,
    find: 'if (revision === undefined || consumer.applied < revision) return false;',
    replace: '',
    invariant: 'drained',
  },
  {
    name: 'the book is credited while the container drains',
    file: `${layer0}/host/plan-job.ts`,
    find: 'if (!current || !isRunning(current)) {\n    // Its lease',
    replace: 'if (record.termAt !== undefined || !current || !isRunning(current)) {\n    // Its lease',
    invariant: 'credit-last',
  },
  {
    name: 'a one-off is started again',
    file: `${layer0}/host/restart.ts`,
    find: "kind === 'oneoff' || restart?.policy === 'never';",
    replace: "restart?.policy === 'never';",
    invariant: 'runs-once',
  },
  {
    name: 'what a lost host ran is not taken back when the host returns',
    file: `${controller}/schedulers/formations.ts`,
    find: "if (job.want === 'lost' && !gone.has(job.id) && !input.frozen)",
    replace: 'if (false)',
    invariant: 'converges',
  },
  {
    name: 'no guard against the loss of the majority',
    file: `${controller}/hosts.ts`,
    find: 'return frozen || recent.length * 2 > hosts.size;',
    replace: 'return false;',
    invariant: 'majority',
    run: { kinds: ['most hosts gone'], faultGapMs: 20_000 },
  },
];
