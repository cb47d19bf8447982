// Releases that cannot run, and a store that cannot agree.
import { isolate, heal } from '../../../src/lib/lab/index.js';
import { ask, eventually, hosts } from '../grid.js';
import { typed, type Mistake, type Table } from './mistake.js';
import { app, lab } from './stage.js';

const deployed = (name: string, image: string, ...says: string[]): Mistake => ({
  name,
  act: typed(() => ['deploy', '-a', app, '--image', image, '--timeout', '40']),
  code: 8,
  says: [...says, 'still serves'],
  hint: `flynn logs -a ${app}`,
});

export const releaseMistakes: Table = {
  title: 'a release that cannot run',
  triesReleases: true,
  mistakes: [
    deployed('an image that does not exist', 'no-such-image:1', 'no-such-image:1'),
    deployed('an image that exits at once', 'quits:1', 'code 3', 'no database at db.example.test'),
  ],
};

/** Two of three hosts cut off while somebody types; what runs on the one that is left goes on without the store. */
async function inTheMinority<T>(act: () => Promise<T>): Promise<T> {
  await Promise.all(
    hosts()
      .slice(1)
      .map(({ name }) => isolate(name, lab)),
  );
  try {
    const done = await act();
    await eventually('the app answers through the host that is left', async () =>
      (await ask(hosts()[0]!, `${app}.localhost`)).status === 200 ? true : undefined,
    );
    return done;
  } finally {
    await heal(lab);
  }
}

export const storeMistakes: Table = {
  title: 'a store without a majority',
  cutsHosts: true,
  mistakes: [
    {
      name: 'an app that is created with two of three hosts cut off',
      act: () => inTheMinority(typed(() => ['apps:create', 'oops-minority', '--no-remote'])),
      code: 7,
      says: ['the store does not answer: nothing was changed'],
      hint: /flynn|docker/,
    },
  ],
};
