// An Express app with real dependencies: GET / is a page, GET /where tells which instance answered.
import compression from 'compression';
import express from 'express';

const { FLYNN_JOB_ID: instance, FLYNN_HOST: host, FLYNN_RELEASE: release, PORT = '8080' } = process.env;
const page = 'the first page';

const app = express();
app.use(compression());
app.get('/', (_request, response) => response.send(`<h1>${page}</h1>\n`));
app.get('/where', (_request, response) =>
  response.json({ instance, host, release: Number(release), pid: process.pid, page }),
);

const server = app.listen(Number(PORT), () => console.log(`listening on ${PORT}`));

// Told to stop, it answers what is under way and ends.
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
