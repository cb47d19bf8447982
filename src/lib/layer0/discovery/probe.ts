// One probe of one endpoint over HTTP. Only an answer counts: the kernel of a frozen host still completes handshakes.
import { Agent, request } from 'node:http';
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

/** Probes `GET /healthz` of the two fixed ports. Any status is an answer: whoever sends one is not frozen. */
export function httpProbe(
  targets: ProbeTargets = { agent: ports.agentHealth, router: ports.routerMonitor },
): HttpProbe {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, maxFreeSockets: 1 });

  const ask = (address: string, port: number, timeoutMs: number, retryStale: boolean): Promise<ProbeResult> =>
    new Promise((resolve) => {
      const started = performance.now();
      let over = false;
      const end = (result: ProbeResult): void => {
        if (over) return;
        over = true;
        clearTimeout(timer);
        req.destroy();
        resolve(result);
      };
      const req = request({ host: address, port, path: '/healthz', agent, headers: { host: 'flynn' } });
      const timer = setTimeout(() => {
        const late = performance.now() - started - timeoutMs;
        // Timers run before sockets are read: an answer that has already arrived is heard in this turn.
        setImmediate(() => end(late > heldUpMs ? 'unknown' : 'missed'));
      }, timeoutMs);
      req.on('response', (response) => {
        // The body is read to its end, so that the connection can be used again.
        response.on('error', () => undefined);
        response.resume();
        over = true;
        clearTimeout(timer);
        response.setTimeout(timeoutMs, () => req.destroy());
        resolve('answered');
      });
      req.on('error', () => {
        if (over) return;
        const left = timeoutMs - (performance.now() - started);
        // The other side may have closed the idle connection just now; a fresh one tells.
        if (req.reusedSocket && retryStale && left > 10) {
          over = true;
          clearTimeout(timer);
          ask(address, port, left, false).then(resolve, () => resolve('missed'));
          return;
        }
        end('missed');
      });
      req.end();
    });

  return {
    probe: (address, endpoint, timeoutMs) => ask(address, targets[endpoint], timeoutMs, true),
    close: () => agent.destroy(),
  };
}
