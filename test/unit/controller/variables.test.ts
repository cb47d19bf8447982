// What an app's job learns of itself is said by the scheduler: Layer 0 passes a template's environment on and reads no meta.
import { describe, expect, it } from 'vitest';
import { Release } from '../../../src/lib/api/app.js';
import { jobTemplate } from '../../../src/lib/layer1/controller/releases.js';

const release = Release.parse({
  ...{ app: 'hello', version: 3, image: 'hello:1', processes: { web: {} }, sealedEnv: 'x', sealedKey: 'y' },
  ...{ envKeys: [], createdAt: 0, by: 'ada', why: 'test' },
});

describe('the template of a process', () => {
  it('carries app, release and type as variables', () => {
    expect(jobTemplate(release, 'web').env).toEqual({
      FLYNN_APP: 'hello',
      FLYNN_RELEASE: '3',
      FLYNN_PROCESS_TYPE: 'web',
    });
  });
});
