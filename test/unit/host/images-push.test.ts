// Pushing a system image: who may, what it may be called, and what is answered.
import { Hono } from 'hono';
import { describe, expect, it } from 'vitest';
import { answerError } from '../../../src/lib/appliance/server.js';
import { PushRequest } from '../../../src/lib/layer0/host/shapes.js';
import { addImagesPush, mayPushImages } from '../../../src/lib/layer0/host/images-push.js';
import { silentLog } from '../../../src/lib/appliance/log.js';
import { FakeDocker } from '../../fakes/docker.js';

const as = '127.0.0.1:5555/flynn/slugrunner:54cb68c6f86a';
const apiFor = (caller: string) => {
  const docker = new FakeDocker({ images: ['flynn/slugrunner:54cb68c6f86a'] });
  const app = new Hono();
  answerError(app, silentLog);
  addImagesPush(app, docker, silentLog);
  const socket = { getPeerCertificate: () => ({ subject: { CN: caller } }) };
  const post = (body: object) =>
    app.request(
      '/v1/images/push',
      { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } },
      { incoming: { socket } },
    );
  return { docker, post };
};

describe('pushing a system image', () => {
  it('given the control plane, then it is tagged, pushed, and its digest is answered', async () => {
    const { docker, post } = apiFor('control');
    const answer = await post({ image: 'flynn/slugrunner:54cb68c6f86a', as });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({ digest: expect.stringMatching(/^sha256:/) as string });
    expect(docker.calls).toEqual(expect.arrayContaining(['images.tag', 'images.push']));
  });

  it('given an image that is not there, then it is said so', async () => {
    const answer = await apiFor('control').post({ image: 'flynn/none', as });
    expect(await answer.json()).toMatchObject({ code: 'image_missing' });
  });

  it('given another host or a router, then it is refused before anything is read', async () => {
    for (const caller of ['host-b', 'router', 'root']) {
      const { docker, post } = apiFor(caller);
      expect((await post({ image: 'flynn/slugrunner:54cb68c6f86a', as })).status).toBe(403);
      expect(docker.calls).toEqual([]);
      expect(mayPushImages(caller)).toBe(false);
    }
  });

  it('given another target than the system part of our registry, then it is invalid', () => {
    const bad = [
      'docker.io/flynn/x',
      '127.0.0.1:5555/app/x',
      '127.0.0.1:5555/flynn/',
      `${as}/../x`,
      `evil/${as}`,
    ];
    for (const name of bad) expect(PushRequest.safeParse({ image: 'x', as: name }).success).toBe(false);
    expect(PushRequest.safeParse({ image: 'x', as: '127.0.0.1:5555/flynn/etcd' }).success).toBe(true);
  });
});
