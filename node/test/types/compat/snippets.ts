// What 2.x's documents show and its types allow, in one file.
import { nodesockd } from 'nodesockd';
import { NodesockdClient } from 'nodesockd/client';
import { Server } from 'http';

// A worker.
const server = new Server();
server.listen(nodesockd.socketPath ?? 8000, async () => {
  await nodesockd.reportOnline();
});
nodesockd.on('shutdown', () => {
  server.close();
});
server.on('request', async (req, res) => {
  await nodesockd.resumed;
  res.end(req.url);
});
nodesockd.resumed.then(() => {
  setInterval(() => console.log('background task'), 5000);
});
if (nodesockd.suspended) console.log('Worker starting in suspended mode');
export const names: (string | undefined)[] = [nodesockd.id, nodesockd.shortId, nodesockd.socketPath];

// Promises everywhere.
export const starting: Promise<void> = nodesockd.run();
nodesockd.reportOnline().then(() => console.log('online')).catch((err) => console.error(err));
nodesockd.reportBroken('disk').catch((err: Error) => console.error(err.message)).finally(() => process.exit(1));
async function fail(err: Error): Promise<void> {
  return nodesockd.reportBroken(err.message);
}
process.on('uncaughtException', fail);
export const held: Promise<void> = nodesockd.suspendMiddleware({}, {}, () => {});

// Messages and requests.
nodesockd.on('message', (message, data) => {
  console.log(message, data);
});
const listener = (message: string, data?: { [key: string]: unknown }) => console.log(message, data?.name);
nodesockd.on('message', listener);
nodesockd.once('shutdown', () => console.log('once'));
nodesockd.off('message', listener);
nodesockd.off('message');
nodesockd.off();
nodesockd.setRequestHandler('one', async (data) => 'reply');
nodesockd.setRequestHandler('typed', (data: { id: number }) => ({ id: data.id, ok: true }));
nodesockd.setRequestHandler('stream', async function* (data) {
  yield 'reply 1';
  yield 'reply 2';
});
export const said: Promise<void> = nodesockd.sendAppMessage('clear-cache', { all: true }, '!self');
export async function ask(): Promise<string[]> {
  const texts: string[] = [];
  for await (const reply of nodesockd.sendAppRequest('who', { deep: true })) texts.push(`${reply.id} ${reply.pid.toFixed()} ${reply.data} ${reply.errors?.join()}`);
  const iterator = nodesockd.sendAppRequest('who');
  const { value, done } = await iterator.next();
  if (!done) texts.push(value.id);
  await iterator.return?.();
  return texts;
}

// A client.
export async function deploy(suspended: boolean): Promise<number> {
  const client = new NodesockdClient('path/to/nodesockd.ipc');
  await client.run();
  await client.sendAppMessage('<message>', { data: true }, '<workers>');
  for await (const reply of client.sendAppRequest('<request>', { data: true }, '<workers>')) {
    console.log(reply.id, reply.pid, reply.data);
  }
  const { version, pid, startTs, workers } = await client.getStatus();
  console.log(version.length, pid.toFixed(), new Date(startTs), workers.map(({ id, idx, pid, state, stateTs }) => [id, idx, pid, state, stateTs]));
  const { config, files } = await client.getConfig();
  const name: string = config.name;
  const counts: number = config.workers + config.standby + config.options.shutdownTimeout + config.options.maxStartAttempts;
  const paths: string[] = [config.script, config.tmpDir, config.socketFile, config.ipcFile, ...files, ...config.env.map((key: string) => key)];
  const out: string | undefined = config.options.stdout;
  const err: string | null | undefined = config.options.stderr;
  console.log(name.trim(), counts, paths, out, err, config.debug === true);
  const started: Promise<void> = client.startWorkers(true, 2);
  await started.catch((reason) => console.error(reason.errors));
  await client.startWorkers();
  const { upgrading, pid: daemon } = await client.restartWorkers(suspended, undefined, true);
  console.log(upgrading === true, daemon.toFixed());
  await client.restartWorkers();
  const orders: Promise<void>[] = [
    client.resumeWorkers(),
    client.stopWorkers(),
    client.setWorkerCount(4),
    client.setStandbyCount(1),
    client.reloadConfig(),
    client.sendAppMessage('done'),
  ];
  await Promise.all(orders);
  const terminated: number = await client.terminateDaemon();
  await client.terminate().then(() => console.log('disconnected'));
  return terminated;
}
