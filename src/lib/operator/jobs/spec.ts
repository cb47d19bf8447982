// What a person typed after `flynn jobs:run`, as the job that it means. Pure.
import { JobTemplate, type JobTemplateInput } from '../../api/job.js';
import { EnvKey } from '../../api/names.js';
import { VolumeName } from '../../api/volume.js';
import { parseConstraint, parseMemory, parsePort, usage } from './spec-words.js';

/** Flags of `jobs:run`, by their names. */
export interface RunFlags {
  name?: string | undefined;
  kind?: string | undefined;
  service?: string | undefined;
  port?: string[] | undefined;
  env?: string[] | undefined;
  memory?: string | undefined;
  cpu?: number | undefined;
  volume?: string[] | undefined;
  constraint?: string[] | undefined;
  restart?: string | undefined;
  user?: string | undefined;
  workdir?: string | undefined;
}

/** What is typed, and what is known of the terminal. */
export interface TypedJob {
  /** The image, then the command. */
  words: readonly string[];
  flags: RunFlags;
  /** Its first container waits for us, and ends with us. */
  attach: boolean;
  tty: boolean;
  /** TERM of our terminal. */
  term?: string | undefined;
}

/** A job as it is to be placed. */
export interface WantedJob {
  owner: string;
  template: JobTemplateInput;
  /** Given sealed to the host: whatever of it is secret is nobody else's. */
  env: Record<string, string>;
}

/** Whether what is typed is a service: it says so, or it has what only services have. */
export function kindOf({ kind, service, port = [], restart }: RunFlags): 'service' | 'oneoff' {
  if (kind === 'service' || kind === 'oneoff') return kind;
  return service !== undefined || port.length > 0 || restart !== undefined ? 'service' : 'oneoff';
}

/** The job. Throws `usage`, naming the word that does not fit. */
export function wantedJob({ words, flags, attach, tty, term }: TypedJob): WantedJob {
  const [image = '', ...args] = words;
  if (image === '') throw usage('no image was named', 'flynn jobs:run debian:12 uname -a');
  if (/\s/.test(image) || image.length > 500) throw usage(`'${image.slice(0, 60)}' is not an image`);
  const kind = kindOf(flags);
  const ports = (flags.port ?? []).map((word, index) => parsePort(word, index));
  const twice = ports.find((port, index) => ports.findIndex(({ name }) => name === port.name) !== index);
  if (twice) throw usage(`two ports are called ${twice.name}`);
  if (flags.service !== undefined && ports.length === 0) {
    throw usage(
      `service ${flags.service} has no port to be reached at`,
      'flynn jobs:run --service web --port 8080 IMAGE',
    );
  }
  const name = flags.name ?? nameOf(image);
  const template: JobTemplateInput = {
    kind,
    image,
    ...(args.length > 0 ? { args } : {}),
    ...(flags.memory === undefined && flags.cpu === undefined
      ? {}
      : {
          resources: {
            ...(flags.memory === undefined ? {} : { memory: parseMemory(flags.memory) }),
            ...(flags.cpu === undefined ? {} : { cpu: flags.cpu }),
          },
        }),
    ports,
    mounts: (flags.volume ?? []).map(parseVolume),
    ...(flags.service === undefined ? {} : { service: { name: flags.service } }),
    ...(flags.restart === undefined ? {} : { restart: { policy: flags.restart as 'always' } }),
    ...(flags.constraint ? { constraints: flags.constraint.map(parseConstraint) } : {}),
    ...(flags.user === undefined ? {} : { user: flags.user }),
    ...(flags.workdir === undefined ? {} : { workingDir: flags.workdir }),
    attach,
    tty,
  };
  const checked = JobTemplate.safeParse(template);
  if (!checked.success) {
    const issue = checked.error.issues[0];
    throw usage(`${issue?.path.join('.') ?? 'the job'}: ${issue?.message ?? 'not valid'}`);
  }
  return {
    owner: `job/${checkName(name)}`,
    template,
    env: parseVariables(flags.env ?? [], tty ? term : undefined),
  };
}

/** The last part of an image's name, as the name of a group of jobs. */
function nameOf(image: string): string {
  const last = image.replace(/@.*$/, '').split('/').at(-1) ?? '';
  const name = last
    .replace(/:.*$/, '')
    .replaceAll(/[^A-Za-z0-9._-]/g, '-')
    .slice(0, 40);
  return /^[A-Za-z0-9]/.test(name) ? name : 'job';
}

function checkName(name: string): string {
  if (/^[A-Za-z0-9][\w.-]{0,39}$/.test(name)) return name;
  throw usage(
    `--name ${name.slice(0, 60)}: a name is letters, digits, dots, hyphens and _, at most 40 of them`,
  );
}

function parseVariables(words: readonly string[], term: string | undefined): Record<string, string> {
  const env: Record<string, string> = term ? { TERM: term } : {};
  for (const word of words) {
    const at = word.indexOf('=');
    const key = word.slice(0, at);
    if (at <= 0 || !EnvKey.safeParse(key).success) {
      throw usage(`--env '${word.slice(0, 40)}' is not KEY=VALUE`, 'flynn jobs:run -e LEVEL=debug IMAGE');
    }
    env[key] = word.slice(at + 1);
  }
  return env;
}

function parseVolume(word: string): { type: 'volume'; source: string; target: string; readOnly: boolean } {
  const [source = '', target = '', mode, ...more] = word.split(':');
  const good = VolumeName.safeParse(source).success && target.startsWith('/') && more.length === 0;
  if (!good || (mode !== undefined && mode !== 'ro')) {
    throw usage(`--volume ${word.slice(0, 60)} is not NAME:/PATH or NAME:/PATH:ro`, 'flynn volumes');
  }
  return { type: 'volume', source, target, readOnly: mode === 'ro' };
}
