// Lines of `ps`: what is told of a job, also before its agent has told anything.
import { describe, expect, it } from 'vitest';
import type { Claim, JobStatus } from '../../../src/lib/api/job.js';
import { jobLines, type JobContext } from '../../../src/lib/layer1/controller/jobs.js';
import { seededRng } from '../../../src/lib/util/rng.js';
import { ulid } from '../../../src/lib/util/ulid.js';

const claim: Claim = { t: 'x', o: 'app/hello/1/web', m: 512, c: 100, p: [20_000], w: 'run', x: 'y' };
const context: JobContext = { condition: () => 'present', applied: () => 0, release: () => undefined };
const status = (since: number): JobStatus => ({
  ...{ state: 'starting', owner: claim.o, template: claim.t, starts: 1, exitCode: null, addresses: {} },
  since,
});
const line = (at: number, told?: JobStatus) =>
  jobLines(
    [
      {
        ...{ id: `a-${ulid(at, seededRng(1))}`, host: 'a', app: 'hello', version: 1, type: 'web', claim },
        ...(told ? { status: told } : {}),
      },
    ],
    context,
  )[0];

describe('since', () => {
  it('given a job that its agent has told nothing of, then it is pending since it was claimed', () => {
    expect(line(1_700_000_000_000)).toMatchObject({ state: 'pending', since: 1_700_000_000_000 });
  });

  it('given a status, then it is the time of that', () => {
    expect(line(1_700_000_000_000, status(1_700_000_005_000))).toMatchObject({
      state: 'starting',
      since: 1_700_000_005_000,
    });
  });
});
