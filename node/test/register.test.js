'use strict';

// `node --import nodesockd/register`: programs that only know a port, served as workers.
const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { test } = require('node:test');
const { TestDaemon, TestWorker, fetchFrom, inheritedSocket, until } = require('./support.js');

const IMPORT = ['--import', 'nodesockd/register'];
const fixture = path.join(__dirname, 'fixtures/register.js');

/** A port of this machine that is free. */
async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Nobody listens on the port. */
async function assertFree(port) {
  await assert.rejects(fetchFrom({ host: '127.0.0.1', port }), { code: 'ECONNREFUSED' });
}

/** The program of that name as a worker, and its port. */
async function start(t, name, { env = {}, nodeArgs = IMPORT, script = 'register.js', ...options } = {}) {
  const port = await freePort();
  const worker = new TestWorker(t, script, { ...options, nodeArgs, env: { TEST_APP: name, PORT: String(port), ...env } });
  return { port, worker };
}

for (const name of ['plain', 'express', 'koa', 'fastify', 'hapi', 'hono']) {
  test(`a program on ${name} that listens on a port holds requests while suspended, serves, and is closed`, async (t) => {
    const { port, worker } = await start(t, name, { suspended: true });
    assert.deepEqual((await worker.frame('online')).data, { id: worker.id, pid: worker.process.pid, suspended: true, heartbeat: true, leader: false, counts: false });
    await assertFree(port);
    const held = worker.get();
    const early = await Promise.race([held, worker.ask('a round trip')]);
    assert.ok(Array.isArray(early), 'held');
    worker.tell('resume');
    assert.equal((await held).body, `port ${port}`);
    worker.tell('shutdown');
    assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
    if (name === 'plain') assert.equal(worker.stdout, `${JSON.stringify({ address: '::', family: 'IPv6', port })}\nclosed\n`);
    if (name === 'fastify') assert.equal(worker.stdout, `http://127.0.0.1:${port}\nclosed\n`);
    if (name === 'hapi') assert.match(worker.stdout, new RegExp(`:${port}\nclosed\n$`));
    if (name === 'hono') assert.equal(JSON.parse(worker.stdout).port, port);
  });
}

test('a draining program answers what still comes, each for the last time', async (t) => {
  const { port, worker } = await start(t, 'plain');
  await worker.frame('online');
  const agent = new http.Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  await worker.get('/', { agent });
  worker.tell('shutdown');
  await worker.ask('a round trip');
  const last = await worker.get('/', { agent });
  assert.deepEqual([last.reused, last.headers.connection, last.body], [true, 'close', `port ${port}`]);
  assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
});

test('when the last request is over, a program that knows SIGTERM gets it', async (t) => {
  const { worker } = await start(t, 'signal');
  await worker.frame('online');
  worker.tell('shutdown');
  assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
  assert.equal(worker.stdout, 'closed undefined\n');
});

test('the first server is served, the others are left alone, and that is said', async (t) => {
  const other = String(await freePort());
  const { port, worker } = await start(t, 'metrics', { env: { METRICS_PORT: other } });
  await worker.frame('online');
  assert.equal((await worker.get()).body, 'metrics');
  assert.equal((await fetchFrom({ port })).body, `port ${port}`);
  await until(() => worker.stderr.includes(`nodesockd/register leaves the server on port ${port} alone: that on port ${other} is the one`));
});

test('NODESOCKD_PORT names the server to serve', async (t) => {
  const other = String(await freePort());
  const named = String(await freePort());
  const { worker } = await start(t, 'metrics', { env: { METRICS_PORT: other, PORT: named, NODESOCKD_PORT: named } });
  await worker.frame('online');
  assert.equal((await worker.get()).body, `port ${named}`);
  assert.equal((await fetchFrom({ host: '127.0.0.1', port: other })).body, 'metrics');
  assert.deepEqual(JSON.parse(worker.stdout), { metrics: Number(other) });
  assert.match(worker.stderr, new RegExp(`leaves the server on port ${other} alone`));
});

test('NODESOCKD_PORT has to be a port', async (t) => {
  for (const wrong of ['http', '0', '65536']) {
    const { worker } = await start(t, 'plain', { env: { NODESOCKD_PORT: wrong } });
    const { code, stderr } = await worker.exited;
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`NODESOCKD_PORT must be a port from 1 to 65535, not "${wrong}"`));
  }
});

test('a server on any free port is not the one', async (t) => {
  const { port, worker } = await start(t, 'any free port');
  await worker.frame('online');
  assert.equal((await worker.get()).body, `port ${port}`);
  assert.equal(worker.stderr, '');
});

test('with a socket that the daemon keeps, the program listens when it is resumed, and does not find the sockets', async (t) => {
  const [first, second] = [await inheritedSocket(t), await inheritedSocket(t)];
  const { port, worker } = await start(t, 'plain', { suspended: true, listenFd: first.fd, moreFds: [second.fd], env: { LISTEN_FDS: '2' } });
  await worker.frame('online');
  [first, second].forEach((socket) => socket.letGo());
  assert.equal(worker.stdout, '');
  const answer = fetchFrom({ socketPath: second.socketPath });
  worker.tell('resume', { fd: 5 });
  assert.equal((await answer).body, `port ${port}`);
  assert.equal(JSON.parse(worker.stdout).port, port);
});

test('a program that cannot listen fails with the reason', async (t) => {
  const { worker } = await start(t, 'taken', { env: { NODESOCKD_SOCKET_PATH: '/no/such/folder/app.sock' } });
  const { code, stderr } = await worker.exited;
  assert.equal(code, 1);
  assert.match(stderr, /listen (ENOENT|EACCES).*app\.sock/);
  assert.equal(worker.stdout, '');
});

test('without a daemon nothing is changed', async (t) => {
  const port = await freePort();
  const child = spawn(process.execPath, [...IMPORT, fixture], { env: { PATH: process.env.PATH, TEST_APP: 'plain', PORT: String(port) } });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  assert.equal((await fetchFrom({ port })).body, `port ${port}`);
});

test('`--require` does the same', async (t) => {
  const { port, worker } = await start(t, 'plain', { nodeArgs: ['--require', 'nodesockd/register'] });
  await worker.frame('online');
  assert.equal((await worker.get()).body, `port ${port}`);
});

test('an app that calls `nodesockd.listen` is served by that', async (t) => {
  const worker = new TestWorker(t, 'listener.mjs', { nodeArgs: IMPORT });
  await worker.frame('online');
  assert.match((await worker.get()).body, /^listener/);
});

test('a wrapper that is Node itself is not the worker, and its channel not the daemon\'s', async (t) => {
  const { port, worker } = await start(t, 'plain', { env: { TEST_WRAPPED: fixture, NODE_OPTIONS: IMPORT.join(' '), NODESOCKD_CHANNEL_FD: '4' }, script: 'wrapper.js', nodeArgs: [] });
  const daemon = new TestDaemon(t, worker.ipcPath);
  const { data } = await daemon.frame('online');
  assert.notEqual(data.pid, worker.process.pid);
  assert.equal((await worker.get()).body, `port ${port}`);
  daemon.tell('shutdown');
  assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
});
