import http from 'node:http';
import nodesockd, { listen, resumed, type Limits, type Reply, type Worker } from 'nodesockd';
import { NodesockdClient, NodesockdError, type Status } from 'nodesockd/client';

const worker: Worker = nodesockd;
const server = await listen(http.createServer(), { port: 0 }, { upstreamKeepAlive: 5000 });
server.address();
await listen((req, res) => res.end(req.url));
await listen({ callback: () => (req, res) => res.end(req.url) }, '/tmp/app.sock');
// @ts-expect-error an app is not a number
await listen(42);
await resumed;
worker.on('message', (message, data) => console.log(message.length, data)).on('shutdown', async () => {});
worker.setRequestHandler(async function* (request) {
  yield request.length;
});
const all: Reply<number>[] = await worker.sendAppRequest<number>('who', undefined, 'self');
for await (const { id, data } of worker.sendAppRequest<number>('who')) console.log(id, data?.toFixed(), all.length);

const client = new NodesockdClient('/tmp/nodesockd.ipc');
const status: Status = await client.run((it) => it.getStatus());
console.log(status.workers[0]?.idx?.toFixed());
const { timeout }: Limits = { timeout: 60_000 };
for await (const { data } of client.sendAppRequest<number>('who', undefined, '0', { timeout })) console.log(data?.toFixed());
// @ts-expect-error a misspelt option
await client.startWorkers({ suspend: true });
// @ts-expect-error a handler is a function
worker.setRequestHandler('x', 5);
await client.restartWorkers({ suspended: true, onProgress: ({ stage }) => console.log(stage) }).catch((error: unknown) => {
  if (error instanceof NodesockdError) console.log(error.code, error.errors.length);
});
