// Reports of silent hosts: from when they count, and whose are believed.
import { describe, expect, it } from 'vitest';
import { accused, readReports, type Reports } from '../../../src/lib/layer1/controller/reports.js';

const records = (of: Record<string, Record<string, number>>) =>
  new Map(
    Object.entries(of).map(([host, suspects]) => [
      `consumers/*/${host}`,
      { value: { host, applied: 1, draining: {}, suspects } },
    ]),
  );
const none: Reports = new Map();

describe('reports of routers', () => {
  it('given a report, when read again later, then the silence counts from its first reading', () => {
    const first = readReports(none, records({ b: { c: 700 } }), 'a', 10_000);
    expect(first.get('b')?.get('c')).toBe(9_300);
    const again = readReports(first, records({ b: { c: 700 } }), 'a', 14_000);
    expect(again.get('b')?.get('c')).toBe(9_300);
    const over = readReports(again, records({ b: {} }), 'a', 15_000);
    expect(over.size).toBe(0);
    expect(
      readReports(over, records({ b: { c: 500 } }), 'a', 20_000)
        .get('b')
        ?.get('c'),
    ).toBe(19_500);
  });

  it('given a reporter that hears nothing of our own host, then it is not believed', () => {
    const reports = readReports(none, records({ d: { a: 600, b: 600, c: 600 }, b: { d: 600 } }), 'a', 10_000);
    expect([...accused(reports).keys()]).toEqual(['d']);
  });

  it('given two reporters of one host, then it is accused by both', () => {
    const reports = readReports(none, records({ a: { c: 600 }, b: { c: 500 } }), 'a', 10_000);
    expect(accused(reports).get('c')).toEqual(
      new Map([
        ['a', 9_400],
        ['b', 9_500],
      ]),
    );
  });
});
