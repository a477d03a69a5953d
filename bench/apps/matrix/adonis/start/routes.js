import router from '@adonisjs/core/services/router';
import { text } from 'node:stream/consumers';
import { nodesockd } from 'nodesockd'; // for what it says of itself alone

router.any('*', async ({ request, response }) => {
  const number = request.method() === 'POST' ? await text(request.request) : request.url().slice(1);
  response.json({ number, worker: nodesockd.id, suspended: nodesockd.suspended });
});
