// The suites: unit and sim need only Node, contract real etcd, sshd and Docker, lab the shared lab, chaos makes labs of its own.
import { defineConfig } from 'vitest/config';

const project = (name: string, testTimeout: number, extra: object = {}) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout,
    hookTimeout: Math.max(testTimeout, 120_000),
    ...extra,
  },
});

export default defineConfig({
  test: {
    projects: [
      // Threads that keep their modules: no test mocks one, and starting a process per file took two thirds of the time.
      project('unit', 10_000, { pool: 'threads', isolate: false }),
      project('sim', 60_000, { pool: 'threads', maxWorkers: 2 }),
      // Two at a time: most of their time is waiting for engines, deadlines and leases.
      project('contract', 60_000, { maxWorkers: 2, globalSetup: ['test/contract/global.ts'] }),
      project('lab', 300_000, { fileParallelism: false, globalSetup: ['test/lab/global.ts'] }),
      project('chaos', 600_000, { fileParallelism: false }),
    ],
  },
});
