// What Sampi offers: the transaction function, the books, and the client for schedulers.
export { transact, type SampiPorts } from './transact.js';
export { createHostBook, gridView, putTemplate, releaseClaim, setCordon, setDisk } from './books.js';
export { SampiClient, type Sampi } from './client.js';
export { runSampi } from './run.js';
