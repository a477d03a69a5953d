// A server of Deno that gives every request its number back.

const server = Deno.serve({ path: Deno.env.get('NODESOCKD_SOCKET_PATH') }, async (request) => {
  const number = request.method === 'POST' ? await request.text() : new URL(request.url).pathname.slice(1);
  return Response.json({ number, worker: Deno.env.get('NODESOCKD_WORKER_ID'), suspended: false });
});

Deno.addSignalListener('SIGTERM', () => server.shutdown());
await server.finished;
Deno.exit();
