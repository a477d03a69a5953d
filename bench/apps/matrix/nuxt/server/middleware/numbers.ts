// Gives every request its number back, before a page is looked for.

import { nodesockd } from 'nodesockd'; // for what it says of itself alone

export default defineEventHandler(async (event) => {
  const number = event.method === 'POST' ? await readRawBody(event) : event.path.slice(1);
  return { number, worker: nodesockd.id, suspended: nodesockd.suspended };
});
