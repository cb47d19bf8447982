// The entry of sdutil: bundled into one file without dependencies, for jobs and hosts.
import { main } from './lib/layer0/sdutil/main.js';

void main(process.argv.slice(2), process.env);
