// The picture of the grid: what stands where, and that what is broken can be seen without colours.
import { describe, expect, it } from 'vitest';
import type { GridStatus } from '../../../src/lib/api/app.js';
import { gridPicture } from '../../../src/lib/ui/grid.js';
import { widthOf } from '../../../src/lib/ui/table.js';

type Host = GridStatus['hosts'][number];
let n = 0;
const job = (owner: string, name: string, state = 'serving', reason?: string): Host['jobs'][number] => ({
  id: `j${n++}`,
  name,
  owner,
  state,
  ...(reason ? { reason } : {}),
});
const omni = (name: string, state = 'up') => job(`omni/${name}`, name, state);
const host = (name: string, jobs: Host['jobs'], extra: Partial<Host> = {}): Host => ({
  name,
  address: '10.0.0.1',
  roles: ['control', 'etcd'],
  alive: true,
  cordoned: false,
  capacity: { m: 4096, c: 2000 },
  used: { m: 1536, c: 700 },
  jobs,
  ...extra,
});
const grid = (hosts: Host[], extra: Partial<GridStatus> = {}): GridStatus => ({
  cluster: 'demo',
  domain: 'demo.test',
  revision: 1,
  leader: 'a',
  etcd: { members: hosts.length, healthy: true, dbSizeBytes: 1, alarms: [] },
  hosts,
  ...extra,
});

describe('the picture', () => {
  it('given three hosts, one of them away, when drawn on a wide screen, then it looks like this', () => {
    const control = ['sampi', 'controller', 'gateway', 'router'].map((name) => omni(name));
    const lines = gridPicture(
      grid([
        host('a', [...control, job('app/hello/1/web', 'web.1'), job('app/hello/1/web', 'web.2', 'starting')]),
        host('b', [omni('router', 'crashed'), job('app/hello/1/web', 'web.3', 'crashed')], {
          roles: [],
          address: '10.0.0.2',
        }),
        host('c', [omni('router'), job('app/hello/1/web', 'web.4', 'lost')], {
          roles: [],
          alive: false,
          address: '10.0.0.3',
        }),
      ]),
      { columns: 100 },
    );
    expect(`\n${lines.join('\n')}\n`).toMatchInlineSnapshot(`
      "
      ┌ a * 10.0.0.1 ─────────────┐  ┌ b 10.0.0.2 ───────────────┐  ┌ c 10.0.0.3 AWAY ──────────┐
      │ ┌─┐┌─┐┌─┐┌─┐┌─┐┌─┐        │  │ ┌─┐┌──┐                   │  │ ┌──┐┌──┐                  │
      │ │E││L││S││C││G││R│        │  │ │L││R!│                   │  │ │L!││R!│                  │
      │ └─┘└─┘└─┘└─┘└─┘└─┘        │  │ └─┘└──┘                   │  │ └──┘└──┘                  │
      │ ┌─────┐┌──────┐           │  │ ┌──────┐                  │  │ ┌──────┐                  │
      │ │web.1││web.2~│           │  │ │web.3!│                  │  │ │web.4!│                  │
      │ └─────┘└──────┘           │  │ └──────┘                  │  │ └──────┘                  │
      │ 1.5/4.0 GiB  0.7/2.0 cpu  │  │ 1.5/4.0 GiB  0.7/2.0 cpu  │  │ 1.5/4.0 GiB  0.7/2.0 cpu  │
      └───────────────────────────┘  └───────────────────────────┘  └───────────────────────────┘
      E etcd  L Lorne (host agent)  S Sampi  C controller  G gateway  R router  I images   ! broken  ~ on its way
      "
    `);
  });

  it('given a narrow screen, when drawn, then hosts stand below one another and no line is too wide', () => {
    const hosts = ['a', 'b', 'c'].map((name) => host(name, [omni('router')]));
    const lines = gridPicture(grid(hosts), { columns: 40 });
    expect(lines.filter((line) => line.startsWith('┌ '))).toHaveLength(3);
    expect(Math.max(...lines.slice(0, -1).map(widthOf))).toBeLessThanOrEqual(40);
  });

  it('given many instances, when drawn, then they are counted by type and state', () => {
    const jobs = Array.from({ length: 31 }, (_, at) =>
      job('app/hello/1/web', `web.${at}`, at === 3 ? 'crashed' : 'serving'),
    );
    const text = gridPicture(grid([host('a', jobs)]), { columns: 80 }).join('\n');
    expect(text).toContain('web×30');
    expect(text).toContain('web×1!');
  });

  it('given several apps, when drawn, then instances carry the name of theirs', () => {
    const text = gridPicture(
      grid([host('a', [job('app/one/1/web', 'web.1'), job('app/two/1/web', 'web.1')])]),
      { columns: 80 },
    ).join('\n');
    expect(text).toContain('one/web.1');
    expect(text).toContain('two/web.1');
  });

  it('given no quorum, when drawn with colours, then E is broken and boxes stay aligned', () => {
    const paint = (text: string, tone: string): string =>
      tone === 'broken' ? `\u001b[31m${text}\u001b[39m` : text;
    const status = grid([host('a', [])], {
      etcd: { members: 3, healthy: false, dbSizeBytes: 1, alarms: [] },
    });
    const lines = gridPicture(status, { columns: 80, paint });
    expect(lines.join('\n')).toContain('\u001b[31m│E!│\u001b[39m');
    expect(new Set(lines.slice(0, -1).map(widthOf)).size).toBe(1);
  });

  it('given no hosts, when drawn, then only the legend is left', () => {
    expect(gridPicture(grid([]), { columns: 80 })).toHaveLength(1);
  });
});
