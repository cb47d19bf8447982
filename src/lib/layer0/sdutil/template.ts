// Templates of configuration files: `{{env NAME}}`, `{{#service NAME}}…{{/service}}`, `{{leader NAME}}`. Pure and strict.
import { FlynnError } from '../../api/errors.js';
import { bracketHost } from '../../util/address.js';
import type { ServiceInstance } from '../../api/discovery.js';
import type { Views } from './follow.js';

type Part =
  | { text: string }
  | { env: string }
  | { leader: string }
  | { field: keyof typeof fields }
  | { service: string; body: Part[] };

/** What may stand inside of a service's part, for each of its instances. */
const fields = {
  id: (it: ServiceInstance) => it.id,
  host: (it: ServiceInstance) => it.host,
  address: (it: ServiceInstance) => bracketHost(it.address),
  port: (it: ServiceInstance) => String(it.port),
} as const;

/** A template that was read. */
export interface Template {
  parts: Part[];
  /** Services that it is made of. */
  services: string[];
}

const serviceName = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;

/** Reads a template. Throws `invalid`, naming the line. */
export const parseTemplate = (source: string, name = 'template'): Template => {
  const services = new Set<string>();
  const top: Part[] = [];
  let open: { service: string; body: Part[] } | undefined;
  let at = 0;
  const fault = (message: string): FlynnError => {
    const line = source.slice(0, at).split('\n').length;
    return new FlynnError({ code: 'invalid', message: `${name}, line ${line}: ${message}` });
  };
  const service = (word: string | undefined): string => {
    if (word === undefined || !serviceName.test(word)) throw fault(`'${word ?? ''}' is no service name`);
    services.add(word);
    return word;
  };
  while (at < source.length) {
    const into = open?.body ?? top;
    const begin = source.indexOf('{{', at);
    if (begin !== at) into.push({ text: source.slice(at, begin < 0 ? undefined : begin) });
    if (begin < 0) break;
    at = begin;
    const end = source.indexOf('}}', begin);
    if (end < 0) throw fault('{{ without }}');
    const [word = '', argument, ...more] = source
      .slice(begin + 2, end)
      .trim()
      .split(/\s+/);
    if (more.length > 0) throw fault(`{{${word}}} takes one name`);
    if (word === 'env' && argument !== undefined) into.push({ env: argument });
    else if (word === 'leader') into.push({ leader: service(argument) });
    else if (word === '#service') {
      if (open) throw fault('a service inside of a service');
      open = { service: service(argument), body: [] };
    } else if (word === '/service') {
      if (!open) throw fault('{{/service}} without {{#service NAME}}');
      top.push(open);
      open = undefined;
    } else if (open && argument === undefined && Object.hasOwn(fields, word)) {
      into.push({ field: word as keyof typeof fields });
    } else throw fault(`{{${[word, argument].filter(Boolean).join(' ')}}} means nothing here`);
    at = end + 2;
  }
  if (open) throw fault(`{{#service ${open.service}}} without {{/service}}`);
  return { parts: top, services: [...services] };
};

/** The text that a template gives. A variable that is not set is empty, and so is a leader that is not there. */
export const render = (
  template: Pick<Template, 'parts'>,
  views: Views,
  env: Readonly<Record<string, string | undefined>>,
  instance?: ServiceInstance,
): string =>
  template.parts
    .map((part) => {
      if ('text' in part) return part.text;
      if ('env' in part) return env[part.env] ?? '';
      if ('field' in part) return instance ? fields[part.field](instance) : '';
      if ('leader' in part) {
        const leader = views.get(part.leader)?.leader;
        return leader ? `${bracketHost(leader.address)}:${leader.port}` : '';
      }
      const instances = views.get(part.service)?.instances ?? [];
      return instances.map((it) => render({ parts: part.body }, views, env, it)).join('');
    })
    .join('');
