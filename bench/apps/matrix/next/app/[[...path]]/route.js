// Gives every request its number back.

import { nodesockd } from 'nodesockd'; // for what it says of itself alone

async function answer(request) {
  const number = request.method === 'POST' ? await request.text() : new URL(request.url).pathname.slice(1);
  return Response.json({ number, worker: nodesockd.id, suspended: nodesockd.suspended });
}

export const dynamic = 'force-dynamic';
export { answer as GET, answer as POST };
