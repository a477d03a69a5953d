// Gives every request its number back.

import { nodesockd } from 'nodesockd'; // for what it says of itself alone

export async function fallback({ request, params }) {
  const number = request.method === 'POST' ? await request.text() : params.path;
  return Response.json({ number, worker: nodesockd.id, suspended: nodesockd.suspended });
}
