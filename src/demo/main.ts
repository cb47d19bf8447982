// `npm run demo`: the whole of Flynn once through, on three plain hosts that it makes on this machine.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  bootstrapLab,
  labBundle,
  labEnv,
  labImage,
  labUp,
  packageRoot,
  type LabReport,
} from '../lib/lab/index.js';
import { Story } from './story.js';

const name = 'demo';
const app = 'hello';

/** Runs the demo to its end; throws at the first thing that does not work. */
export async function demo(): Promise<void> {
  const root = packageRoot();
  const env = { ...process.env, ...labEnv({ root, name }) };
  const story = new Story({ root, env });
  const report: LabReport = ({ message }) => story.say(`  ${message}`);

  story.chapter('three plain hosts');
  story.say('Containers that look like fresh Debian machines: sshd, and a Docker engine each.');
  const lab = await labUp({ root, name, hosts: 3 }, report);
  for (const host of lab.hosts)
    story.say(`  ${host.name}  ssh -F ${lab.dir}/ssh_config ${host.name}   inside ${host.address}`);

  story.chapter('a cluster, over SSH');
  const bundle = await labBundle(report, { root });
  await bootstrapLab(lab, bundle, (args) => story.flynn(args));

  story.chapter('an app');
  await labImage(lab, join(root, 'templates/examples/hello'), 'hello:1', report);
  await story.flynn(['apps:create', app, '--if-missing', '--no-remote']);
  await story.flynn(['deploy', '-a', app, '--image', 'hello:1']);
  await story.flynn(['scale', '-a', app, 'web=3']);

  story.chapter('through every router');
  const first = lab.hosts[0];
  for (const host of lab.hosts) {
    story.say(`$ curl -H 'Host: ${app}.localhost' ${host.http}`);
    for (let time = 0; time < 3; time++) {
      await story.command('curl', ['-sS', '--max-time', '10', '-H', `Host: ${app}.localhost`, host.http]);
    }
  }

  story.chapter('the grid');
  await story.flynn(['cluster', 'status']);

  await writeFile(
    join(lab.dir, 'app.json'),
    JSON.stringify({ app, host: `${app}.localhost`, routers: lab.hosts.map(({ http }) => http) }, null, 2),
  );
  story.say(`
The grid is up, ${story.seconds} s after the beginning. Try it:

  . ${join('.lab', name, 'env')}
  flynn ps -a ${app}
  flynn scale -a ${app} web=6
  flynn logs -a ${app} -n 5
  flynn cluster status

In a browser: ${(first?.local ?? first?.http ?? '').replace('127.0.0.1', `${app}.localhost`)}
To stop it:   npm run lab -- down --name ${name}
`);
}
