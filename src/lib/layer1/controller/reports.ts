// What routers report of silent hosts, as one controller hears it. Pure.
import type { Consumer } from '../../api/grid.js';

/** Silent hosts by reporting host, each with the moment (monotonic ms) from which nothing of it answered. */
export type Reports = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** Records of consumers as an informer holds them. */
type Records = ReadonlyMap<string, { value: Consumer }>;

/**
 * The reports after a look at the records at `now`. A silence counts from when its first report was read less what
 * the reporter says. Whoever hears nothing of the host that we run on is not believed: we are alive, so what is
 * broken is its own network. Nor is anybody believed about our own host.
 */
export function readReports(before: Reports, records: Records, self: string, now: number): Reports {
  const reports = new Map<string, ReadonlyMap<string, number>>();
  for (const { value } of records.values()) {
    if (self in value.suspects) continue;
    const known = before.get(value.host);
    const silent = new Map<string, number>();
    for (const [host, ms] of Object.entries(value.suspects)) silent.set(host, known?.get(host) ?? now - ms);
    if (silent.size > 0) reports.set(value.host, silent);
  }
  return reports;
}

/** The same by accused host: who reports it, and from when it was silent. */
export function accused(reports: Reports): Reports {
  const hosts = new Map<string, Map<string, number>>();
  for (const [reporter, silent] of reports) {
    for (const [host, since] of silent) {
      const of = hosts.get(host) ?? new Map<string, number>();
      hosts.set(host, of.set(reporter, since));
    }
  }
  return hosts;
}
