// HAProxy's runtime language: changes as commands, answers as values. Pure.
import type { Change, Running, RunningServer } from './plan.js';
import { unknownBackend } from './config.js';

/** A worker or the master in `show proc`. */
export interface Processes {
  master: number;
  /** Reloads that failed since the master started. */
  failed: number;
  reloads: number;
  /** The worker of the last load, absent while a reload is under way and after one that failed. */
  current?: number;
  /** Workers that only finish what they have, the youngest first. */
  old: number[];
}

/** The worker that listens: after a failed reload it is the youngest of the former ones. */
export function servingWorker(processes: Processes): number | undefined {
  return processes.current ?? (processes.failed > 0 ? processes.old[0] : undefined);
}

/** Reads `show proc` of the master's socket. */
export function parseProcesses(text: string): Processes {
  const processes: Processes = { master: 0, failed: 0, reloads: 0, old: [] };
  const former: { pid: number; age: number }[] = [];
  for (const line of text.split('\n')) {
    const [pid, type, reloads] = line.trim().split(/\s+/);
    if (!/^\d+$/.test(pid ?? '')) continue;
    if (type === 'master') {
      processes.master = Number(pid);
      processes.reloads = Number(reloads);
      processes.failed = Number(/failed:\s*(\d+)/.exec(line)?.[1] ?? 0);
    } else if (type === 'worker') {
      if (Number(reloads) === 0 && processes.current === undefined) processes.current = Number(pid);
      else former.push({ pid: Number(pid), age: Number(reloads) });
    }
  }
  processes.old = former.sort((a, b) => a.age - b.age).map(({ pid }) => pid);
  return processes;
}

// srv_admin_state: forced, inherited and unresolved maintenance, and both kinds of drain. Not 0x04: it only remembers
// that the configuration said `disabled`, and stays when the server is enabled again.
const maintenance = 0x01 | 0x02 | 0x08 | 0x10 | 0x20;

/** Reads `show servers state`: servers by backend. */
export function parseServersState(text: string): Map<string, Map<string, RunningServer>> {
  const backends = new Map<string, Map<string, RunningServer>>();
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    if (line.startsWith('#') || fields.length < 19) continue;
    const [, backend, , name, address, , admin] = fields as [
      string,
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    const servers = backends.get(backend) ?? new Map<string, RunningServer>();
    backends.set(backend, servers);
    servers.set(name, { address, port: Number(fields[18]), out: (Number(admin) & maintenance) !== 0 });
  }
  return backends;
}

/** Reads `show backend`: the names of services. */
export function parseBackends(text: string): string[] {
  const names = text.split('\n').map((line) => line.trim());
  return names.filter((name) => name !== '' && !name.startsWith('#') && name !== unknownBackend);
}

/** Reads `show map FILE`. Of entries with the same key the first counts, as in HAProxy. */
export function parseMap(text: string): Map<string, string> {
  const map = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, domain, service] = line.trim().split(/\s+/);
    if (line.startsWith('0x') && domain && service && !map.has(domain)) map.set(domain, service);
  }
  return map;
}

/** Reads `show stat BACKEND 4 -1`: current and queued requests by server. */
export function parseSessions(text: string): Map<string, number> {
  const lines = text.split('\n');
  const columns = (lines.find((line) => line.startsWith('# ')) ?? '').slice(2).split(',');
  const at = (name: string): number => columns.indexOf(name);
  const [server, queued, current] = [at('svname'), at('qcur'), at('scur')];
  const sessions = new Map<string, number>();
  for (const line of lines) {
    const fields = line.split(',');
    const name = fields[server];
    if (line.startsWith('#') || fields.length < columns.length || !name) continue;
    sessions.set(name, Number(fields[queued] || 0) + Number(fields[current] || 0));
  }
  return sessions;
}

const at = (address: string): string => (address.includes(':') ? `[${address}]` : address);

/** The commands of one change. `map` is the path that the map was loaded from: its name at run time. */
export function commandsOf(change: Change, map: string): string[] {
  switch (change.op) {
    case 'add': {
      const { id, address, port } = change.server;
      const name = `${change.backend}/${id}`;
      // Dynamic servers ignore `default-server` and start in maintenance.
      const added = `add server ${name} ${at(address)}:${port}`;
      return change.out ? [added] : [added, `enable server ${name}`];
    }
    case 'move': {
      const { id, address, port } = change.server;
      return [`set server ${change.backend}/${id} addr ${address} port ${port}`];
    }
    case 'up':
      return [`set server ${change.backend}/${change.id} state ready`];
    case 'out':
      return [`set server ${change.backend}/${change.id} state maint`];
    case 'cut':
      return [`shutdown sessions server ${change.backend}/${change.id}`];
    case 'map-add':
      return [`add map ${map} ${change.domain} ${change.service}`];
    case 'map-set':
      return [`set map ${map} ${change.domain} ${change.service}`];
    case 'map-del':
      return [`del map ${map} ${change.domain}`];
  }
}

/** The state after a change that HAProxy has confirmed; `running` is changed in place. */
export function applyChange(running: Running, change: Change): void {
  switch (change.op) {
    case 'add': {
      const { id, address, port } = change.server;
      running.backends.get(change.backend)?.set(id, { address, port, out: change.out });
      return;
    }
    case 'move': {
      const server = running.backends.get(change.backend)?.get(change.server.id);
      if (server) Object.assign(server, { address: change.server.address, port: change.server.port });
      return;
    }
    case 'up':
    case 'out': {
      const server = running.backends.get(change.backend)?.get(change.id);
      if (server) {
        server.out = change.op === 'out';
        server.cut = false;
      }
      return;
    }
    case 'cut': {
      const server = running.backends.get(change.backend)?.get(change.id);
      if (server) server.cut = true;
      return;
    }
    case 'map-add':
    case 'map-set':
      running.map.set(change.domain, change.service);
      return;
    case 'map-del':
      running.map.delete(change.domain);
  }
}

/** What HAProxy says when a command of ours worked and it says anything at all. */
const good = [/^New server registered\.$/, /^Server deleted\.$/, /^(no need to )?change/, /changed from/];

/** The lines of an answer that report a failure; HAProxy has no codes. */
export function failures(answer: string): string[] {
  const lines = answer.split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '' && !good.some((pattern) => pattern.test(line)));
}

/** Joins commands into lines that fit HAProxy's command buffer. */
export function batches(commands: readonly string[], maxLength = 6_000): string[][] {
  const out: string[][] = [];
  let length = Infinity;
  for (const command of commands) {
    if (length + command.length + 16 > maxLength) {
      out.push([]);
      length = 0;
    }
    out.at(-1)?.push(command);
    length += command.length + 16;
  }
  return out;
}
