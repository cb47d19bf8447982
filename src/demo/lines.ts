// What the demo leaves for people: the lines it ends with, and the file that says where its app answers. Tested as they are.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lab } from '../lib/lab/index.js';

/** What a person may type next, for the app of a lab's cluster, from the checkout's folder. */
export function linesToTry(lab: string, app: string): string[] {
  return [
    `. .lab/${lab}/env`,
    `flynn ps -a ${app}`,
    `flynn scale -a ${app} web=6`,
    `flynn logs -a ${app} -n 5`,
    'flynn cluster status',
  ];
}

/** `app.json` in a lab's folder: the Host header that leads to the app, and the URL of every router. */
export interface AppFile {
  app: string;
  host: string;
  routers: string[];
}

/** Writes it; returns its path. */
export async function writeAppFile(
  lab: Pick<Lab, 'dir' | 'hosts'>,
  app: string,
  host: string,
): Promise<string> {
  const file: AppFile = { app, host, routers: lab.hosts.map(({ http }) => http) };
  const path = join(lab.dir, 'app.json');
  await writeFile(path, `${JSON.stringify(file, null, 2)}\n`);
  return path;
}
