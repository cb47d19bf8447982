// Hosts as the schedulers see them: in a grid of more than five, those that have started an image are known to have it.
import { expect, it } from 'vitest';
import { keys } from '../../../src/lib/api/keys.js';
import { seatsOf } from '../../../src/lib/layer1/controller/desired.js';
import type { HostWatch } from '../../../src/lib/layer1/controller/hostwatch.js';
import type { Picture } from '../../../src/lib/layer1/controller/state.js';

const book = { capacity: { m: 1, c: 1 }, used: { m: 0, c: 0 }, ports: [], tags: {}, cordoned: false };

function seatsWith(count: number) {
  const hosts = new Map(Array.from({ length: count }, (_, i) => [`h${i}`, { book }]));
  const status = (owner: string, starts: number) => ({ value: { owner, starts } });
  const statuses = new Map([
    [keys.status('h0', 'h0-x'), status('app/hello/1/web', 1)],
    [keys.status('h1', 'h1-x'), status('app/hello/1/web', 0)],
    [keys.status('h2', 'h2-x'), status('omni/router', 1)],
  ]);
  const picture = {
    hosts: () => hosts,
    records: { statuses: { items: () => statuses } },
    release: (app: string, version: number) => ({ image: `${app}:${version}` }),
  };
  const watch = { hosts: () => new Map() };
  return seatsOf(picture as unknown as Picture, watch as unknown as HostWatch);
}

it('a host that started a job of a release has its image; one that has not started it, or runs an appliance, has not', () => {
  expect(seatsWith(6).map(({ images }) => [...(images ?? [])])).toEqual([['hello:1'], [], [], [], [], []]);
});

it('in a grid of five nobody asks', () => {
  expect(seatsWith(5).some(({ images }) => images)).toBe(false);
});
