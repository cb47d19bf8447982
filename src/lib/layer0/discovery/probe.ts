// One probe of one endpoint over HTTP. Only an answer counts: the kernel of a frozen host still completes handshakes.
import { connect, type Socket } from 'node:net';
import { ports } from '../../api/grid.js';
import type { Endpoint } from './suspicion.js';

/**
 * What a probe found: an answer, silence, or `unknown` when we ourselves were held up for so long that its
 * timeout says nothing of the host.
 */
export type ProbeResult = 'answered' | 'missed' | 'unknown';

/** Asks one endpoint of the host at `address`; never rejects, and ends within `timeoutMs` of undisturbed time. */
export type Probe = (address: string, endpoint: Endpoint, timeoutMs: number) => Promise<ProbeResult>;

/** A timer that fires this much late (ms) was delayed by this process, and the answer may wait in the socket. */
const heldUpMs = 100;

/** Ports and path that are probed. */
export interface ProbeTargets {
  agent: number;
  router: number;
}

/** The real probe with its kept-alive connections. `close` ends them. */
export interface HttpProbe {
  probe: Probe;
  close(): void;
}

const question = 'GET /healthz HTTP/1.1\r\nhost: flynn\r\n\r\n';

/**
 * Probes `GET /healthz` of the two fixed ports. Any first byte is an answer: whoever sends one is not frozen. Bare
 * sockets: probes are most of what an idle grid does, and node's HTTP client takes three times the cpu for them.
 */
export function httpProbe(
  targets: ProbeTargets = { agent: ports.agentHealth, router: ports.routerMonitor },
): HttpProbe {
  const lines = new Map<string, Line>();
  return {
    probe: (address, endpoint, timeoutMs) => {
      const port = targets[endpoint];
      const name = `${address} ${port}`;
      const line = lines.get(name) ?? new Line(address, port);
      lines.set(name, line);
      return ask(line, timeoutMs);
    },
    close: () => {
      for (const line of lines.values()) line.cut();
      lines.clear();
    },
  };
}

function ask(line: Line, timeoutMs: number): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const started = performance.now();
    let over = false;
    const end = (result: ProbeResult): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      // What comes after a miss must not be taken for the answer to the next question.
      if (result !== 'answered') line.cut();
      resolve(result);
    };
    const timer = setTimeout(() => {
      const late = performance.now() - started - timeoutMs;
      // Timers run before sockets are read: an answer that has already arrived is heard in this turn.
      setImmediate(() => end(late > heldUpMs ? 'unknown' : 'missed'));
    }, timeoutMs);
    const attempt = (): void => {
      const kept = line.open();
      line.ask((answered) => {
        if (answered) end('answered');
        // The other side may have closed the idle connection just now; a fresh one tells.
        else if (kept) attempt();
        else end('missed');
      });
    };
    attempt();
  });
}

/** A connection to one endpoint, opened when it is needed and kept between probes. */
class Line {
  private socket: Socket | undefined;
  private heard: ((answered: boolean) => void) | undefined;

  constructor(
    private readonly address: string,
    private readonly port: number,
  ) {}

  /** Makes sure that there is a socket; true when it was there already. */
  open(): boolean {
    if (this.socket) return true;
    const socket = connect({ host: this.address, port: this.port, noDelay: true });
    this.socket = socket;
    socket.on('data', () => this.settle(socket, true));
    socket.on('error', () => undefined); // `close` follows
    socket.on('close', () => this.settle(socket, false));
    return false;
  }

  /** Sends the question; the callback hears once whether anything came back before the connection ended. */
  ask(heard: (answered: boolean) => void): void {
    this.heard = heard;
    this.socket?.write(question);
  }

  /** Ends the connection; nobody is called back. */
  cut(): void {
    this.heard = undefined;
    const socket = this.socket;
    this.socket = undefined;
    socket?.destroy();
  }

  private settle(socket: Socket, answered: boolean): void {
    if (socket !== this.socket) return;
    if (!answered) this.socket = undefined;
    const heard = this.heard;
    this.heard = undefined;
    heard?.(answered);
  }
}
