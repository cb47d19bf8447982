// Clusters that cannot be found or will not have us.
import { readFileSync } from 'node:fs';
import { hosts, labName } from '../grid.js';
import { typed, type Table } from './mistake.js';
import { at, stranger } from './stage.js';

const nobodysKey = `SHA256:${'A'.repeat(43)}`;
const clusterString = (gateway: string): string =>
  `flynn://${gateway}/${labName}?key=${encodeURIComponent(nobodysKey)}`;

export const wayMistakes: Table = {
  title: 'a cluster that cannot be found',
  together: true,
  mistakes: [
    {
      name: 'a computer that knows none',
      act: typed(() => ['apps'], stranger),
      code: 7,
      says: ['knows no cluster'],
      hint: 'flynn cluster bootstrap',
    },
    {
      name: 'a name of none',
      act: typed(() => ['apps', '-c', 'nosuch']),
      code: 3,
      says: ['nosuch'],
      hint: 'flynn cluster list',
    },
    {
      name: 'a key that was never added',
      act: typed(
        () => ['apps'],
        () => ({ env: { FLYNN_SSH_KEY: readFileSync(at('other'), 'utf8') } }),
      ),
      code: 5,
      says: ['accepts none of the keys', 'given as text'],
      hint: 'flynn keys:add',
    },
    {
      name: 'a gateway with another host key',
      act: typed(() => ['apps', '-c', clusterString(hosts()[0]!.gateway)]),
      code: 5,
      says: ['is not the pinned one', nobodysKey],
      hint: 'in between',
    },
    {
      name: 'gateways where nobody listens',
      act: typed(() => ['apps', '-c', clusterString(`${hosts()[0]!.ssh.host}:9`)]),
      code: 6,
      says: [`no gateway of cluster ${labName} answers`],
      hint: 'port 9 ',
    },
  ],
};
