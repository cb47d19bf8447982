// The picture of the grid: a box per host, a square per appliance and instance. Pure: state in, lines out.
import type { GridStatus } from '../api/app.js';
import { widthOf } from './table.js';

/** How a thing does; the colour follows from it. */
export type Tone = 'good' | 'busy' | 'broken' | 'dim';

/** What the picture depends on beside the state. */
export interface GridOptions {
  /** Width of the screen in characters. */
  columns: number;
  /** Colours a text; the identity on a plain terminal. */
  paint?: (text: string, tone: Tone) => string;
  /** Most squares of instances in one box; beyond it they are counted by type. */
  maxSquares?: number;
}

type Host = GridStatus['hosts'][number];
type Job = Host['jobs'][number];

interface Square {
  label: string;
  tone: Tone;
}

/** Letters of the appliances, in the order they stand in. */
const letters: Record<string, string> = {
  etcd: 'E',
  host: 'L',
  sampi: 'S',
  controller: 'C',
  gateway: 'G',
  router: 'R',
  registry: 'I',
};

const toneOfState: Record<string, Tone> = {
  up: 'good',
  serving: 'good',
  done: 'dim',
  pending: 'busy',
  pulling: 'busy',
  starting: 'busy',
  stopping: 'dim',
};

const minInner = 26;

/** The grid as lines of text, hosts side by side as far as the screen is wide. */
export function gridPicture(status: GridStatus, options: GridOptions): string[] {
  const paint = options.paint ?? ((text: string) => text);
  const apps = new Set(
    status.hosts.flatMap((host) => host.jobs.map(appOf).filter((app) => app !== undefined)),
  );
  const boxes = status.hosts.map((host) =>
    hostBox(host, status, { paint, named: apps.size > 1, maxSquares: options.maxSquares ?? 24 }),
  );
  const lines: string[] = [];
  let row: string[][] = [];
  let width = 0;
  const flush = (): void => {
    lines.push(...beside(row));
    row = [];
    width = 0;
  };
  for (const box of boxes) {
    const own = widthOf(box[0] ?? '') + 2;
    if (row.length > 0 && width + own > options.columns) flush();
    row.push(box);
    width += own;
  }
  flush();
  return [...lines, paint(status.layer0 ? gridLegend : legend, 'dim')];
}

const legend =
  'E etcd  L Lorne (host agent)  S Sampi  C controller  G gateway  R router  I images   ! broken  ~ on its way';

const gridLegend = 'E etcd  L Lorne (host agent)  S Sampi   ! broken  ~ on its way';

interface BoxOptions {
  paint: (text: string, tone: Tone) => string;
  named: boolean;
  maxSquares: number;
}

function hostBox(host: Host, status: GridStatus, { paint, named, maxSquares }: BoxOptions): string[] {
  const state = !host.alive ? ' AWAY' : host.cordoned ? ' cordoned' : '';
  const title = `${host.name}${host.name === status.leader ? ' *' : ''} ${host.address}${state}`;
  const inner = Math.max(minInner, title.length + 2);
  const content = [
    ...squareRows(appliancesOf(host, status), inner, paint),
    ...squareRows(instancesOf(host, named, maxSquares), inner, paint),
    paint(usage(host), 'dim'),
  ];
  const edge = (text: string): string => (host.alive ? text : paint(text, 'broken'));
  return [
    edge(`┌ ${title} ${'─'.repeat(inner - title.length - 1)}┐`),
    ...content.map(
      (line) => `${edge('│')} ${line}${' '.repeat(Math.max(0, inner - widthOf(line)))}${edge('│')}`,
    ),
    edge(`└${'─'.repeat(inner + 1)}┘`),
  ];
}

function appliancesOf(host: Host, status: GridStatus): Square[] {
  const squares: { name: string; tone: Tone }[] = [{ name: 'host', tone: host.alive ? 'good' : 'broken' }];
  if (host.roles.includes('etcd')) {
    squares.push({ name: 'etcd', tone: host.alive && status.etcd.healthy ? 'good' : 'broken' });
  }
  for (const job of host.jobs) {
    const name = applianceOf(job);
    if (name !== undefined) squares.push({ name, tone: toneOf(job, host) });
  }
  const order = Object.keys(letters);
  const rank = (name: string): number => (order.includes(name) ? order.indexOf(name) : order.length);
  return squares
    .sort((a, b) => rank(a.name) - rank(b.name) || a.name.localeCompare(b.name))
    .map(({ name, tone }) => ({ label: letters[name] ?? name, tone }));
}

function instancesOf(host: Host, named: boolean, maxSquares: number): Square[] {
  const jobs = host.jobs.filter((job) => applianceOf(job) === undefined);
  const label = (job: Job): string => {
    const app = appOf(job);
    return named && app !== undefined && !job.name.startsWith(`${app}/`) ? `${app}/${job.name}` : job.name;
  };
  if (jobs.length <= maxSquares) return jobs.map((job) => ({ label: label(job), tone: toneOf(job, host) }));
  const groups = new Map<string, Square & { count: number }>();
  for (const job of jobs) {
    const type = label(job).replace(/\.\d+$/, '');
    const tone = toneOf(job, host);
    const group = groups.get(`${type} ${tone}`) ?? { label: type, tone, count: 0 };
    group.count += 1;
    groups.set(`${type} ${tone}`, group);
  }
  return [...groups.values()].map(({ label, tone, count }) => ({ label: `${label}×${count}`, tone }));
}

function toneOf(job: Job, host: Host): Tone {
  return host.alive ? (toneOfState[job.state] ?? 'broken') : 'broken';
}

function applianceOf(job: Job): string | undefined {
  return job.owner.startsWith('omni/') ? job.owner.slice('omni/'.length) : undefined;
}

function appOf(job: Job): string | undefined {
  const [kind, app] = job.owner.split('/');
  return kind === 'app' ? app : undefined;
}

function squareRows(squares: readonly Square[], inner: number, paint: BoxOptions['paint']): string[] {
  const lines: string[] = [];
  let row: { square: Square; text: string }[] = [];
  const flush = (): void => {
    if (row.length === 0) return;
    const draw = (part: (text: string) => string): string =>
      row.map(({ square, text }) => paint(part(text), square.tone)).join('');
    lines.push(
      draw((text) => `┌${'─'.repeat(text.length)}┐`),
      draw((text) => `│${text}│`),
      draw((text) => `└${'─'.repeat(text.length)}┘`),
    );
    row = [];
  };
  for (const square of squares) {
    // A sign beside the colour: colours alone are lost on a plain terminal and on some people.
    const mark = square.tone === 'broken' ? '!' : square.tone === 'busy' ? '~' : '';
    const text = `${square.label}${mark}`;
    const width = row.reduce((sum, each) => sum + each.text.length + 2, 0);
    if (row.length > 0 && width + text.length + 2 > inner) flush();
    row.push({ square, text });
  }
  flush();
  return lines;
}

function usage(host: Host): string {
  const gib = (mib: number): string => (mib / 1024).toFixed(1);
  const cores = (millis: number): string => (millis / 1000).toFixed(1);
  return `${gib(host.used.m)}/${gib(host.capacity.m)} GiB  ${cores(host.used.c)}/${cores(host.capacity.c)} cpu`;
}

function beside(boxes: readonly string[][]): string[] {
  const height = Math.max(0, ...boxes.map((box) => box.length));
  const lines: string[] = [];
  for (let at = 0; at < height; at++) {
    lines.push(
      boxes
        .map((box) => box[at] ?? ' '.repeat(widthOf(box[0] ?? '')))
        .join('  ')
        .trimEnd(),
    );
  }
  return lines;
}
