// The one entry of all our appliances: `node appliance.js NAME` runs that one. Only what is asked for is loaded.
import { ApplianceConfig } from './lib/appliance/config.js';

const appliances: Record<string, () => Promise<(config: ApplianceConfig) => Promise<void>>> = {
  host: async () => (await import('./lib/layer0/host/index.js')).runHost,
  sampi: async () => (await import('./lib/layer0/sampi/run.js')).runSampi,
  controller: async () => (await import('./lib/layer1/controller/run.js')).runController,
  gateway: async () => (await import('./lib/layer1/gateway/run.js')).runGateway,
  router: async () => (await import('./lib/layer1/router/run.js')).runRouter,
  door: async () => (await import('./lib/layer0/host/door-pipe.js')).runDoorPipe,
  seed: async () => (await import('./lib/seed/run.js')).runSeed,
};

const name = process.argv[2] ?? '';
const load = appliances[name];
if (load) {
  const run = await load();
  await run(new ApplianceConfig());
} else {
  process.stderr.write(`there is no appliance ${name}: ${Object.keys(appliances).join(', ')}\n`);
  process.exitCode = 2;
}
