// Three plain hosts with Docker and no image of Flynn's, to all healthy: prepared bundle, transfer included.
import { bootstrap, endLab, freshLab, result, rounded, say } from './bench.js';

const { lab, bundle } = await freshLab(3);
try {
  const seconds = await bootstrap(lab, bundle);
  const again = await bootstrap(lab, bundle);
  say(`the same command again, with nothing to do: ${again.toFixed(1)} s`);
  result('bootstrap', { seconds: rounded(seconds, 1), again_seconds: rounded(again, 1) });
} finally {
  await endLab();
}
