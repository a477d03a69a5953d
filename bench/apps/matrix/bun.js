// A server of Bun that gives every request its number back.

const server = Bun.serve({
  unix: process.env.NODESOCKD_SOCKET_PATH,
  async fetch(request) {
    const number = request.method === 'POST' ? await request.text() : new URL(request.url).pathname.slice(1);
    return Response.json({ number, worker: process.env.NODESOCKD_WORKER_ID, suspended: false });
  },
});

process.on('SIGTERM', async () => {
  await server.stop();
  process.exit();
});
