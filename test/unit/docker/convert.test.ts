// Between our types and the engine's.
import { describe, expect, it } from 'vitest';
import {
  createBody,
  engineMillis,
  envRecord,
  labelFilter,
  toStats,
} from '../../../src/lib/docker/convert.js';
import { negotiate } from '../../../src/lib/docker/engine.js';
import { engineError } from '../../../src/lib/docker/errors.js';
import { splitRef } from '../../../src/lib/docker/refs.js';
import { FlynnError } from '../../../src/lib/api/errors.js';
import { DeadlineError } from '../../../src/lib/util/signal.js';

describe('create body', () => {
  it('given the least, then nothing dangerous is switched on', () => {
    expect(createBody({ name: 'n', image: 'i' })).toMatchObject({
      Image: 'i',
      Tty: false,
      OpenStdin: false,
      HostConfig: {
        NetworkMode: 'bridge',
        Privileged: false,
        RestartPolicy: { Name: 'no' },
        PortBindings: {},
        Mounts: [],
      },
    });
  });

  it('given a full spec, then each field lands where the engine looks for it', () => {
    const body = createBody({
      name: 'n',
      image: 'i',
      cmd: ['a', 'b'],
      entrypoint: [],
      env: { A: '1=2' },
      publish: [
        { hostIp: '10.0.0.1', hostPort: 80, containerPort: 8080, proto: 'tcp' },
        { hostIp: '10.0.0.2', hostPort: 81, containerPort: 8080, proto: 'tcp' },
        { hostIp: '', hostPort: 53, containerPort: 53, proto: 'udp' },
      ],
      mounts: [{ type: 'bind', source: '/h', target: '/c', readOnly: true, propagation: 'rshared' }],
      noNewPrivileges: true,
      securityOpt: ['seccomp=unconfined'],
      healthcheck: 'none',
      stopTimeout: 30,
      extraHosts: { a: '1.2.3.4' },
    });
    expect(body).toMatchObject({
      Cmd: ['a', 'b'],
      Entrypoint: [],
      Env: ['A=1=2'],
      ExposedPorts: { '8080/tcp': {}, '53/udp': {} },
      Healthcheck: { Test: ['NONE'] },
      StopTimeout: 30,
      HostConfig: {
        PortBindings: {
          '8080/tcp': [
            { HostIp: '10.0.0.1', HostPort: '80' },
            { HostIp: '10.0.0.2', HostPort: '81' },
          ],
          '53/udp': [{ HostIp: '', HostPort: '53' }],
        },
        Mounts: [
          {
            Type: 'bind',
            Source: '/h',
            Target: '/c',
            ReadOnly: true,
            BindOptions: { Propagation: 'rshared' },
          },
        ],
        SecurityOpt: ['no-new-privileges', 'seccomp=unconfined'],
        ExtraHosts: ['a:1.2.3.4'],
      },
    });
  });
});

describe('reading', () => {
  it('given the engine’s zero time, then it is undefined', () => {
    expect(engineMillis('0001-01-01T00:00:00Z')).toBeUndefined();
    expect(engineMillis('2024-05-06T07:08:09.123456789Z')).toBe(1714979289123);
    expect(engineMillis(undefined)).toBeUndefined();
  });

  it('given environment lines, then equals signs in values stay', () => {
    expect(envRecord(['A=1=2', 'B', 'C='])).toEqual({ A: '1=2', B: '', C: '' });
    expect(envRecord(null)).toEqual({});
  });

  it('given figures of either cgroup version, then page cache does not count', () => {
    const stats = (stats: object) =>
      toStats({ memory_stats: { usage: 100, limit: 200, stats } } as never).memoryBytes;
    expect(stats({ inactive_file: 30 })).toBe(70);
    expect(stats({ total_inactive_file: 40 })).toBe(60);
    expect(stats({ inactive_file: 300 })).toBe(0);
    expect(toStats({} as never)).toMatchObject({ memoryBytes: 0, pids: 0, rxBytes: 0 });
  });

  it('given no labels, then there is no filter', () => {
    expect(labelFilter(undefined, { name: [] })).toBeUndefined();
    expect(labelFilter(['a=b'], { type: ['container'] })).toEqual({ label: ['a=b'], type: ['container'] });
  });
});

describe('references', () => {
  it.each([
    ['debian', 'debian', 'latest'],
    ['debian:12', 'debian', '12'],
    ['127.0.0.1:5555/app', '127.0.0.1:5555/app', 'latest'],
    ['127.0.0.1:5555/app:v1', '127.0.0.1:5555/app', 'v1'],
    ['127.0.0.1:5555/app@sha256:ab', '127.0.0.1:5555/app', 'sha256:ab'],
    ['app:v1@sha256:ab', 'app', 'sha256:ab'],
  ])('given %s, then it is %s and %s', (ref, repository, tag) => {
    expect(splitRef(ref)).toEqual({ repository, tag });
  });
});

describe('version', () => {
  it('given what the server speaks, then the lower one is spoken, and too old is missing', () => {
    expect(negotiate('1.41', 'x')).toBe('1.41');
    expect(negotiate('1.52', 'x')).toBe('1.44');
    expect(negotiate('2.0', 'x')).toBe('1.44');
    expect(() => negotiate('1.9', 'on n1')).toThrowError(expect.objectContaining({ code: 'missing' }));
  });
});

describe('errors', () => {
  const doing = { what: 'start x', where: 'on n1' };
  const status = (statusCode: number) => Object.assign(new Error('(HTTP code 500) x - why '), { statusCode });
  const code = (error: unknown, more = {}) => engineError(error, { ...doing, ...more });

  it.each([
    [404, 'not_found'],
    [409, 'conflict'],
    [400, 'invalid'],
    [403, 'refused'],
    [500, 'failed'],
  ])('given status %i, then the code is %s and the message says what and why', (s, expected) => {
    expect(code(status(s))).toMatchObject({ code: expected, message: 'cannot start x: why' });
  });

  it('given a status of an image call, then a 404 is a missing image', () => {
    expect(code(status(404), { missing: 'image_missing' })).toMatchObject({ code: 'image_missing' });
  });

  it('given socket errors, then it is unreachable or refused and names the engine', () => {
    const socket = (c: string) => Object.assign(new Error('connect'), { code: c });
    expect(code(socket('ENOENT'))).toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('on n1'),
    });
    expect(code(socket('EACCES'))).toMatchObject({ code: 'refused' });
  });

  it('given an abort, then a deadline is a timeout and any other reason is itself', () => {
    expect(engineError(new Error('x'), doing, AbortSignal.abort(new DeadlineError(5)))).toMatchObject({
      code: 'timeout',
    });
    const mine = new Error('mine');
    expect(engineError(new Error('x'), doing, AbortSignal.abort(mine))).toBe(mine);
    const coded = new FlynnError({ code: 'unreachable', message: 'ssh' });
    expect(code(coded)).toBe(coded);
  });
});
