// Names: what each means, what Node's own resolver hears, and that garbage is answered with a code and ends nothing.
import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { connect } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServiceInstance, ServiceView } from '../../../src/lib/api/discovery.js';
import {
  addressBytes,
  readQuestion,
  rcodes,
  types,
  writeQuestion,
} from '../../../src/lib/layer0/discovery/dns/message.js';
import { answerName, hostsLines } from '../../../src/lib/layer0/discovery/dns/names.js';
import { answerMessage, serveNames } from '../../../src/lib/layer0/discovery/dns/server.js';
import { seededRng } from '../../../src/lib/util/rng.js';

const at = (address: string, port: number): ServiceInstance => ({
  ...{ id: `x.${port}`, host: 'a', address, port, since: 0, meta: {}, epoch: port },
});
const services = new Map<string, ServiceInstance[]>([
  ['db', [at('10.0.0.1', 5432), at('10.0.0.2', 5433)]],
  ['web.hello', [at('10.0.0.1', 80), at('10.0.0.1', 81)]],
  ['six', [at('fd00::1', 1)]],
  ['many', Array.from({ length: 500 }, (_, i) => at(`10.1.${i >> 8}.${i & 255}`, i + 1))],
]);
const view = (name: string): ServiceView => {
  const instances = services.get(name) ?? [];
  return { name, instances, leader: instances[1] ?? instances[0] ?? null };
};
const source = { known: true, view, names: () => [...services.keys()] };
const rng = seededRng(3);
const ask = (name: string, type: number, from = source) => answerName(from, name, type, rng);
const data = (name: string, type: number): string[] =>
  ask(name, type)
    .answers.map((r) => (r.type === 'SRV' ? `${r.target}:${r.port}` : r.type === 'SOA' ? '' : r.address))
    .sort();
const faults: unknown[] = [];
const options = { source, rng, onFault: (error: unknown) => faults.push(error) };

describe('names', () => {
  it('of a service lead to its hosts, of its leader to one, and SRV to every port', () => {
    expect(data('db.flynn', types.A)).toEqual(['10.0.0.1', '10.0.0.2']);
    expect(data('leader.db.flynn', types.A)).toEqual(['10.0.0.2']);
    const srv = ['10-0-0-1.addr.flynn:5432', '10-0-0-2.addr.flynn:5433'];
    expect(data('db.flynn', types.SRV)).toEqual(srv);
    expect(data('_db._tcp.db.flynn', types.SRV)).toEqual(srv);
    expect(data('leader.db.flynn', types.SRV)).toEqual(srv.slice(1));
    expect(data('10-0-0-2.addr.flynn', types.A)).toEqual(['10.0.0.2']);
    expect(data('web.hello.flynn', types.A)).toEqual(['10.0.0.1']);
    expect(data('web.hello.flynn', types.SRV)).toHaveLength(2);
    expect(data('six.flynn', types.AAAA)).toEqual(['fd00::1']);
    expect(data('fd00--1.addr.flynn', types.AAAA)).toEqual(['fd00::1']);
    expect(ask('db.flynn', types.SRV).additional).toHaveLength(2);
  });

  it('that are not there are no names, and those without that type have no data; nothing else is ours', () => {
    expect(ask('none.flynn', types.A)).toMatchObject({ rcode: rcodes.noName, authority: [{ minimum: 0 }] });
    expect(ask('leader.none.flynn', types.A).rcode).toBe(rcodes.noName);
    expect(ask('db.flynn', types.AAAA)).toMatchObject({ rcode: rcodes.ok, answers: [] });
    expect(ask('hello.flynn', types.A)).toMatchObject({ rcode: rcodes.ok, answers: [] });
    expect(ask('example.com', types.A).rcode).toBe(rcodes.refused);
    expect(ask('x.addr.flynn', types.A).rcode).toBe(rcodes.noName);
  });

  it('are a failure, not an absence, before anything is known', () => {
    expect(ask('db.flynn', types.A, { ...source, known: false }).rcode).toBe(rcodes.failed);
  });

  it('of a service are lines that a resolver reads by itself', () => {
    expect(hostsLines(view('web.hello'))).toEqual([
      '10.0.0.1 web.hello.flynn',
      '10.0.0.1 leader.web.hello.flynn',
    ]);
    expect(hostsLines(view('none'))).toEqual([]);
  });
});

describe('on the wire', () => {
  let server: { close(): void };
  const port = 20_000 + Math.floor(Math.random() * 10_000);
  const resolver = new Resolver({ timeout: 2_000, tries: 1 });
  beforeAll(async () => {
    server = await serveNames({ ...options, host: '127.0.0.1', port });
    resolver.setServers([`127.0.0.1:${port}`]);
  });
  afterAll(() => server.close());

  it('resolvers of others understand the answers', async () => {
    expect((await resolver.resolve4('db.flynn')).sort()).toEqual(['10.0.0.1', '10.0.0.2']);
    expect(await resolver.resolve6('SIX.flynn')).toEqual(['fd00::1']);
    expect(await resolver.resolveSrv('_db._tcp.db.flynn')).toContainEqual({
      ...{ name: '10-0-0-1.addr.flynn', port: 5432, priority: 0, weight: 0 },
    });
    // Too large for UDP: asked again over TCP.
    expect(await resolver.resolveSrv('many.flynn')).toHaveLength(12);
    await expect(resolver.resolve4('none.flynn')).rejects.toMatchObject({ code: 'ENOTFOUND' });
    await expect(resolver.resolve6('db.flynn')).rejects.toMatchObject({ code: 'ENODATA' });
  });

  it('given garbage by UDP and TCP, then the next question is answered', async () => {
    const udp = createSocket('udp4');
    for (const size of [0, 1, 2, 11, 12, 13, 600]) udp.send(Buffer.alloc(size, 0xff), port, '127.0.0.1');
    const tcp = connect(port, '127.0.0.1');
    tcp.on('error', () => undefined);
    tcp.write(Buffer.alloc(10_000, 0xff));
    await once(tcp, 'close');
    expect(await resolver.resolve4('leader.db.flynn')).toEqual(['10.0.0.2']);
    udp.close();
  });
});

describe('bytes of any kind', () => {
  const valid = writeQuestion(7, 'db.flynn', types.A);

  it('are answered with a code or not at all, whatever they are', () => {
    const changed = fc
      .tuple(fc.nat(valid.length - 1), fc.integer({ min: 0, max: 255 }), fc.nat(valid.length))
      .map(([i, byte, cut]) => {
        const out = Buffer.from(valid);
        out[i] = byte;
        return out.subarray(0, cut < 12 ? undefined : cut);
      });
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 600 }).map((b) => Buffer.from(b)),
          changed,
        ),
        (bytes) => {
          const answer = answerMessage(options, bytes, false);
          if (answer) {
            expect(answer.length).toBeGreaterThanOrEqual(12);
            expect(answer.length).toBeLessThanOrEqual(1232);
            expect(answer.readUInt16BE(0)).toBe(bytes.readUInt16BE(0));
            expect(answer.readUInt16BE(2) & 0x8000).toBe(0x8000);
          }
        },
      ),
      { numRuns: 2_000 },
    );
    expect(faults).toEqual([]);
  });

  it('that are an answer get none: two servers never keep one another busy', () => {
    const reply = answerMessage(options, valid, false);
    expect(reply).toBeDefined();
    expect(answerMessage(options, reply!, false)).toBeUndefined();
  });

  it('of a name come back as they were; a dot inside of a label separates nothing', () => {
    const name = fc
      .array(fc.stringMatching(/^[a-z0-9_-]{1,20}$/), { minLength: 1, maxLength: 5 })
      .map((labels) => labels.join('.'));
    fc.assert(
      fc.property(name, fc.nat(65_535), (text, id) => {
        expect(readQuestion(writeQuestion(id, text, types.SRV))).toMatchObject({ id, name: text, type: 33 });
      }),
    );
    const forged = Buffer.concat([
      valid.subarray(0, 12),
      Buffer.from('\x08db.flynn\0\0\x01\0\x01', 'latin1'),
    ]);
    expect(readQuestion(forged)).toMatchObject({ name: '?' });
    expect(answerMessage(options, forged, false)?.readUInt16BE(2)).toBe(0x8505);
  });

  it('of an address are those of the system', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (address) => {
        expect(addressBytes(address)).toHaveLength(address.includes(':') ? 16 : 4);
      }),
    );
    expect(addressBytes('fd00::1').toString('hex')).toBe('fd000000000000000000000000000001');
    expect(addressBytes('::ffff:1.2.3.4').toString('hex')).toBe('00000000000000000000ffff01020304');
  });
});
