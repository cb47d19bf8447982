// Memory and cpu of an idle grid: three control hosts and a worker, a minute after the last command.
import { labExec } from '../../src/lib/lab/index.js';
import { bootstrap, endLab, freshLab, labName, result, root, rounded, say } from './bench.js';

const idleMs = 60_000;

/** Sums PSS (KiB) and cpu ticks of all processes in Flynn's containers of a host; one line per container. */
const script = `
for id in $(docker ps -q); do
  name=$(docker inspect -f '{{.Name}} {{index .Config.Labels "flynn.owner"}}' "$id")
  pss=0; ticks=0
  for pid in $(docker top "$id" -eo pid | tail -n +2); do
    kib=$(awk '/^Pss:/ {print $2}' /proc/$pid/smaps_rollup 2>/dev/null)
    pss=$((pss + \${kib:-0}))
    used=$(awk '{print $14 + $15}' /proc/$pid/stat 2>/dev/null)
    ticks=$((ticks + \${used:-0}))
  done
  echo "$pss $ticks $name"
done`;

interface Sample {
  at: number;
  lines: { pssKiB: number; ticks: number; name: string }[];
}

async function sample(host: string): Promise<Sample> {
  const done = await labExec(host, ['sh', '-c', script], { root, name: labName, timeoutMs: 60_000 });
  const lines = done.stdout
    .trim()
    .split('\n')
    .map((line) => {
      const [pss, ticks, ...name] = line.split(' ');
      return { pssKiB: Number(pss), ticks: Number(ticks), name: name.join(' ') };
    });
  return { at: performance.now(), lines };
}

/** Share of a core, in percent; 100 ticks per second: USER_HZ on Linux. */
const percent = (ticks: number, ms: number) => (ticks / 100 / (ms / 1000)) * 100;
const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
const { lab, bundle } = await freshLab(4);
try {
  await bootstrap(lab, bundle);
  const before = await Promise.all(lab.hosts.map(({ name }) => sample(name)));
  say(`idle for ${idleMs / 1000} s`);
  await new Promise((resolve) => setTimeout(resolve, idleMs));
  const after = await Promise.all(lab.hosts.map(({ name }) => sample(name)));
  const hosts = lab.hosts.map(({ name }, index) => {
    const [first, last] = [before[index]!, after[index]!];
    const mb = (sum(last.lines.map(({ pssKiB }) => pssKiB)) * 1024) / 1e6;
    const ticks = sum(last.lines.map(({ ticks }) => ticks)) - sum(first.lines.map(({ ticks }) => ticks));
    const cpu = percent(ticks, last.at - first.at);
    say(`${name}: ${mb.toFixed(0)} MB, ${cpu.toFixed(1)} % of a core`);
    for (const line of last.lines) {
      const ticksBefore = first.lines.find(({ name }) => name === line.name)?.ticks ?? line.ticks;
      const share = percent(line.ticks - ticksBefore, last.at - first.at);
      const size = ((line.pssKiB * 1024) / 1e6).toFixed(0).padStart(4);
      say(`  ${size} MB  ${share.toFixed(1).padStart(4)} %  ${line.name}`);
    }
    return { mb, cpu };
  });
  const control = hosts.slice(0, 3);
  const worker = hosts[3]!;
  result('footprint', {
    worker_mb: rounded(worker.mb, 0),
    control_mb: rounded(Math.max(...control.map(({ mb }) => mb)), 0),
    idle_cpu_pct: rounded(Math.max(...hosts.map(({ cpu }) => cpu)), 1),
  });
} finally {
  await endLab();
}
