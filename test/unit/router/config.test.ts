// The text that HAProxy gets, and what never gets into it.
import { describe, expect, it } from 'vitest';
import {
  maxconnFor,
  renderConfig,
  renderMap,
  skeletonId,
  type RouterSettings,
} from '../../../src/lib/layer1/router/config.js';
import { buildTable, parseInstance, parseRoute, takenOut } from '../../../src/lib/layer1/router/state.js';

const settings: RouterSettings = {
  dir: '/var/lib/flynn/router',
  httpAddress: '0.0.0.0',
  httpPort: 80,
  monitorAddress: '10.0.0.1',
  monitorPort: 1115,
  maxconn: 8954,
  threads: 2,
  user: 'haproxy',
};
const server = (id: string, host: string, port: number, address = '10.0.0.2') => ({
  id,
  host,
  address,
  port,
});
const table = buildTable(
  [
    { domain: 'hello.example.com', service: 'web.hello' },
    { domain: 'Alias.example.com', service: 'web.hello' },
    { domain: 'empty.example.com', service: 'web.empty' },
  ],
  [
    { ...server('b-2', 'b', 20001), service: 'web.hello' },
    { ...server('a-1', 'a', 20000, 'fd00::1'), service: 'web.hello' },
    { ...server('a-3', 'a', 20002), service: 'worker.hello' },
  ],
);

describe('renderConfig', () => {
  it('given routes, instances and a silent host, then the whole configuration is as it was reviewed', () => {
    expect(renderConfig(settings, { ...table, suspects: new Set(['b']) })).toMatchSnapshot();
    expect(renderMap(table)).toBe(
      'alias.example.com web.hello\nempty.example.com web.empty\nhello.example.com web.hello\n',
    );
  });

  it('given other settings, then workers that run with the former ones are told apart', () => {
    expect(skeletonId(settings)).toBe(skeletonId({ ...settings }));
    expect(skeletonId(settings)).not.toBe(skeletonId({ ...settings, maxconn: 1 }));
  });

  it('given a limit of open files, then two connections of every request fit into it', () => {
    expect(maxconnFor(20_000)).toBe(7725);
    expect(maxconnFor(1_048_576)).toBe(50_000);
    expect(maxconnFor(256)).toBe(100);
    for (const limit of [1024, 20_000, 65_536]) expect(maxconnFor(limit) * 2.5 + 100).toBeLessThan(limit);
  });
});

describe('records', () => {
  const instance = (key: string, address: unknown, port: unknown = 20000) =>
    parseInstance(key, JSON.stringify({ address, port, since: 0 }));
  const job = 'a-01hzy3k6v8w9x0abcdefghjkmn';

  it('given a sound record, then it is a server named by its job', () => {
    expect(instance(`instances/a/web.hello/${job}`, '10.0.0.2')).toEqual({
      ...server(job, 'a', 20000),
      service: 'web.hello',
    });
  });

  it.each([
    ['a line break in the job', 'instances/a/web.hello/x\n  server evil 6.6.6.6:80', '10.0.0.2', 1],
    ['a space in the service', 'instances/a/web hello/a-1', '10.0.0.2', 1],
    ['a deeper key', 'instances/a/web.hello/a-1/more', '10.0.0.2', 1],
    ['a name for an address', 'instances/a/web.hello/a-1', 'localhost', 1],
    ['a line break in the address', 'instances/a/web.hello/a-1', '10.0.0.2\nglobal', 1],
    ['no port', 'instances/a/web.hello/a-1', '10.0.0.2', 0],
    ['a port too high', 'instances/a/web.hello/a-1', '10.0.0.2', 65536],
  ])('given %s, then the record is none', (_, key, address, port) => {
    expect(instance(key, address, port)).toBeUndefined();
  });

  it.each([
    ['a line break in the domain', 'routes/a.b\nglobal', 'web.hello', false],
    ['a space in the service', 'routes/a.test', 'web hello', false],
    ['nothing wrong', 'routes/a.test', 'web.hello', true],
  ])('given a route with %s, then it is taken: %s', (_, key, service, sound) => {
    const value = JSON.stringify({ domain: key.slice(7), app: 'hello', service, createdAt: 0 });
    expect(parseRoute(key, value) !== undefined).toBe(sound);
  });
});

describe('takenOut', () => {
  const servers = [server('a-1', 'a', 1), server('b-1', 'b', 2), server('b-2', 'b', 3)];
  it.each([
    [[], []],
    [['b'], ['b-1', 'b-2']],
    [['a'], ['a-1']],
    [['a', 'b'], []],
    [['z'], []],
  ])('given the silent hosts %j, then %j are out', (suspects, out) => {
    expect([...takenOut(servers, new Set(suspects))]).toEqual(out);
  });
});
