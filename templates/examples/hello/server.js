// The smallest app that shows where it runs: GET / answers {instance, host, release, pid}.
import { createServer } from 'node:http';

const {
  FLYNN_JOB_ID: instance,
  FLYNN_HOST: host,
  FLYNN_RELEASE: release,
  GREETING,
  PORT = '8080',
} = process.env;

const server = createServer((request, response) => {
  response.setHeader('content-type', 'application/json');
  response.end(
    JSON.stringify({
      instance,
      host,
      release: Number(release),
      pid: process.pid,
      ...(GREETING ? { greeting: GREETING } : {}),
    }) + '\n',
  );
});

server.listen(Number(PORT), () => console.log(`listening on ${PORT}`));

// Told to stop, it answers what is under way and ends.
process.on('SIGTERM', () => {
  console.log('stopping');
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
