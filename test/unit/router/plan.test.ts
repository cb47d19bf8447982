// The planner: runtime commands where they suffice, and after them HAProxy has what was wanted.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { plan, withdrawn, type Running } from '../../../src/lib/layer1/router/plan.js';
import {
  applyChange,
  batches,
  commandsOf,
  failures,
  parseMap,
  parseProcesses,
  parseServersState,
  parseSessions,
  servingWorker,
} from '../../../src/lib/layer1/router/runtime.js';
import { takenOut, type Desired, type Server } from '../../../src/lib/layer1/router/state.js';

const server = (id: string, host = 'a', port = 20000): Server => ({ id, host, address: '10.0.0.2', port });
const desired = (
  services: Record<string, Server[]>,
  suspects: string[] = [],
  routes = {},
  dead: string[] = [],
): Desired => ({
  routes: new Map(Object.entries(routes)),
  services: new Map(Object.entries(services)),
  suspects: new Set(suspects),
  dead: new Set(dead),
});
/** An id as jobs have it: the host is in it. */
const idOn = (host: string): string => `${host}-01m8ar96cbd424r3tpw479759f`;
const running = (
  services: Record<string, (Server & { out?: boolean; cut?: boolean })[]>,
  routes = {},
): Running => ({
  skeleton: 's',
  backends: new Map(
    Object.entries(services).map(([name, servers]) => [
      name,
      new Map(
        servers.map(({ id, address, port, out = false, cut = false }) => [id, { address, port, out, cut }]),
      ),
    ]),
  ),
  map: new Map(Object.entries(routes)),
});
const commands = (wanted: Desired, has: Running): string[] | string => {
  const result = plan(wanted, has, 's');
  return result.kind === 'reload' ? result.why : result.changes.flatMap((change) => commandsOf(change, 'M'));
};

describe('plan', () => {
  it.each<[string, Desired, Running, string[] | string]>([
    ['nothing to do', desired({ w: [server('1')] }), running({ w: [server('1')] }), []],
    [
      'a new instance',
      desired({ w: [server('1')] }),
      running({ w: [] }),
      ['add server w/1 10.0.0.2:20000', 'enable server w/1'],
    ],
    [
      'a new instance on a silent host',
      desired({ w: [server('1'), server('2', 'b')] }, ['b']),
      running({ w: [server('1')] }),
      ['add server w/2 10.0.0.2:20000'],
    ],
    [
      'an instance replaced: the new one first',
      desired({ w: [server('2')] }),
      running({ w: [server('1')] }),
      ['add server w/2 10.0.0.2:20000', 'enable server w/2', 'set server w/1 state maint'],
    ],
    [
      'an instance that is leaving already',
      desired({ w: [] }),
      running({ w: [{ ...server('1'), out: true }] }),
      [],
    ],
    [
      'a leaving instance that came back',
      desired({ w: [server('1')] }),
      running({ w: [{ ...server('1'), out: true }] }),
      ['set server w/1 state ready'],
    ],
    [
      'an instance that moved',
      desired({ w: [server('1', 'a', 20009)] }),
      running({ w: [server('1')] }),
      ['set server w/1 addr 10.0.0.2 port 20009'],
    ],
    [
      'a host that went silent',
      desired({ w: [server('1'), server('2', 'b')] }, ['b']),
      running({ w: [server('1'), server('2', 'b')] }),
      ['set server w/2 state maint'],
    ],
    [
      'a host that stays silent',
      desired({ w: [server('1'), server('2', 'b')] }, ['b'], {}, ['b']),
      running({ w: [server('1'), { ...server('2', 'b'), out: true }] }),
      ['shutdown sessions server w/2'],
    ],
    [
      'a host that stays silent, and its sessions are closed',
      desired({ w: [server('1'), server('2', 'b')] }, ['b'], {}, ['b']),
      running({ w: [server('1'), { ...server('2', 'b'), out: true, cut: true }] }),
      [],
    ],
    [
      'the last server, on a host that stays silent',
      desired({ w: [server('2', 'b')] }, ['b'], {}, ['b']),
      running({ w: [server('2', 'b')] }),
      [],
    ],
    [
      'an instance withdrawn because its host stays silent',
      desired({ w: [server('1')] }, ['b'], {}, ['b']),
      running({ w: [server('1'), { ...server(idOn('b'), 'b'), out: true }] }),
      [`shutdown sessions server w/${idOn('b')}`],
    ],
    [
      'every host silent',
      desired({ w: [server('1'), server('2', 'b')] }, ['a', 'b']),
      running({ w: [server('1'), { ...server('2', 'b'), out: true }] }),
      ['set server w/2 state ready'],
    ],
    [
      'routes of services that are there',
      desired({ w: [] }, [], { 'new.test': 'w', 'moved.test': 'w' }),
      running({ w: [], v: [] }, { 'moved.test': 'v', 'old.test': 'v' }),
      ['add map M new.test w', 'set map M moved.test w', 'del map M old.test'],
    ],
    ['a new service', desired({ w: [] }), running({}), 'w is new'],
    ['other settings', desired({}), { ...running({}), skeleton: 'old' }, 'the settings changed'],
  ])('given %s', (_, wanted, has, expected) => {
    expect(commands(wanted, has)).toEqual(expected);
  });

  it('given more changes than a reload takes time, then it is a reload', () => {
    const many = Array.from({ length: 1001 }, (_, n) => server(String(n)));
    expect(commands(desired({ w: many }), running({ w: [] }))).toBe('1001 changes');
  });

  const arbServers = fc.uniqueArray(
    fc.record({
      id: fc.constantFrom('1', '2', '3', '4', '5'),
      host: fc.constantFrom('a', 'b'),
      address: fc.constantFrom('10.0.0.1', '10.0.0.2'),
      port: fc.constantFrom(20000, 20001),
    }),
    { selector: ({ id }) => id },
  );
  const names = ['v', 'w'];
  const arbServices = fc.record({ v: arbServers, w: arbServers });
  const arbRoutes = fc.dictionary(fc.constantFrom('a.test', 'b.test', 'c.test'), fc.constantFrom(...names));

  it('given any two states, then the changes lead from one to the other, and a second plan is empty', () => {
    const arbRunning = fc.record({
      v: arbServers,
      w: arbServers,
      outs: fc.array(fc.boolean(), { maxLength: 10 }),
    });
    fc.assert(
      fc.property(
        arbServices,
        arbRoutes,
        fc.subarray(['a', 'b']),
        arbRunning,
        arbRoutes,
        (services, routes, suspects, has, hasRoutes) => {
          const wanted = desired(services, suspects, routes);
          const state = running({ v: has.v, w: has.w }, hasRoutes);
          has.outs.forEach((out, n) => {
            const of = [...state.backends.values()].flatMap((servers) => [...servers.values()])[n];
            if (of) of.out = out;
          });
          const first = plan(wanted, state, 's');
          if (first.kind === 'reload') throw new Error('no reload is needed for known services');
          for (const change of first.changes) applyChange(state, change);
          expect(plan(wanted, state, 's')).toEqual({ kind: 'runtime', changes: [] });
          expect(state.map).toEqual(wanted.routes);
          for (const name of names) {
            const list = wanted.services.get(name) ?? [];
            const out = takenOut(list, wanted.suspects);
            const up = [...(state.backends.get(name) ?? [])].filter(([, s]) => !s.out).map(([id]) => id);
            expect(up.sort()).toEqual(
              list
                .filter(({ id }) => !out.has(id))
                .map(({ id }) => id)
                .sort(),
            );
            // Never the last one: who has servers, has one that takes requests.
            if (list.length > 0) expect(up.length).toBeGreaterThan(0);
          }
          for (const [id, backend] of withdrawn(wanted, state)) {
            expect(state.backends.get(backend)?.get(id)?.out).toBe(true);
          }
        },
      ),
    );
  });
});

describe("HAProxy's answers", () => {
  it('given `show proc`, then the listening worker and the former ones are told apart', () => {
    const text = `#<PID>          <type>          <reloads>       <uptime>        <version>
1109            master          3 [failed: 0]   0d00h11m56s     2.6.12-1+deb12u4
# workers
26085           worker          0               0d00h00m00s     2.6.12-1+deb12u4
# old workers
1124            worker          3               0d00h11m00s     2.6.12-1+deb12u4
1300            worker          1               0d00h11m00s     2.6.12-1+deb12u4
# programs
`;
    const processes = parseProcesses(text);
    expect(processes).toEqual({ master: 1109, failed: 0, reloads: 3, current: 26085, old: [1300, 1124] });
    expect(servingWorker(processes)).toBe(26085);
    const failed = parseProcesses(text.replace('failed: 0', 'failed: 1').replace(/^26085.*\n/m, ''));
    expect(failed.current).toBeUndefined();
    expect(servingWorker(failed)).toBe(1300);
    expect(servingWorker({ ...failed, failed: 0 })).toBeUndefined();
  });

  it('given `show servers state`, then maintenance is read, and a configured `disabled` that is over is not', () => {
    const line = (name: string, admin: number) =>
      `5 web.hello 2 ${name} 127.0.0.1 2 ${admin} 1 1 0 1 0 0 0 0 0 0 - 18902 - 0 0 - - 0`;
    const text = `1\n# be_id be_name\n${line('up', 0)}\n${line('out', 1)}\n${line('was', 4)}\n${line('both', 5)}\n\n`;
    const servers = parseServersState(text).get('web.hello');
    expect([...(servers ?? [])].map(([name, { out }]) => [name, out])).toEqual([
      ['up', false],
      ['out', true],
      ['was', false],
      ['both', true],
    ]);
    expect(servers?.get('up')).toMatchObject({ address: '127.0.0.1', port: 18902 });
  });

  it('given `show stat` and `show map`, then requests are counted and the first entry of a domain wins', () => {
    const stat = '# pxname,svname,qcur,qmax,scur,smax\nweb.hello,a-1,1,1,2,9\nweb.hello,a-2,0,0,,1\n';
    expect([...parseSessions(stat)]).toEqual([
      ['a-1', 3],
      ['a-2', 0],
    ]);
    expect(parseSessions('No such proxy.\n').size).toBe(0);
    expect([...parseMap('0x55 a.test w\n0x56 b.test v\n0x57 a.test v\n\n')]).toEqual([
      ['a.test', 'w'],
      ['b.test', 'v'],
    ]);
  });

  it('given answers, then only what went wrong is reported', () => {
    expect(failures('New server registered.\n\n\nServer deleted.\n\n')).toEqual([]);
    expect(
      failures("no need to change the addr, port changed from '1' to '2' by 'stats socket command'\n"),
    ).toEqual([]);
    expect(failures('\nNo such server.\n\nNew server registered.\n')).toEqual(['No such server.']);
  });

  it("given many commands, then each line fits HAProxy's buffer and none is lost or moved", () => {
    const many = Array.from({ length: 500 }, (_, n) => `add server web.hello/job-${n} 10.0.0.1:${20000 + n}`);
    const lines = batches(many);
    expect(lines.flat()).toEqual(many);
    for (const line of lines) expect(line.map((c) => `@!1234567 ${c}`).join(';').length).toBeLessThan(8_000);
  });
});
