'use strict';

// From the first connection to the last: what `listen` does for an app.
const assert = require('node:assert/strict');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { test } = require('node:test');
const { promisify } = require('node:util');
const { WebSocket } = require('ws');
const { TestWorker, fetchFrom, inheritedSocket, tempDir, until } = require('./support.js');

const keepAlive = (t) => {
  const agent = new http.Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  return agent;
};

for (const [fixture, body] of [['express.mjs', 'express'], ['koa.js', 'koa'], ['fastify.js', 'fastify'], ['listener.mjs', 'listener false false']]) {
  test(`${fixture} serves on the worker's socket, and exits when it is told to`, async (t) => {
    const worker = new TestWorker(t, fixture);
    const { data } = await worker.frame('online');
    assert.deepEqual(data, { id: worker.id, pid: worker.process.pid, heartbeat: true, leader: false, counts: false });
    assert.equal((await worker.get()).body, body);
    worker.tell('shutdown');
    assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
    assert.equal(worker.stdout.includes('hook'), fixture === 'fastify.js');
  });
}

test('without a daemon it listens where it is told to, and the time-outs are left alone', async (t) => {
  const env = { PATH: process.env.PATH };
  const child = spawn(process.execPath, [path.join(__dirname, 'fixtures', 'listener.mjs')], { env });
  t.after(() => child.kill('SIGKILL'));
  const [text] = await once(child.stdout, 'data');
  const { address, keepAliveTimeout } = JSON.parse(text);
  assert.equal(keepAliveTimeout, new http.Server().keepAliveTimeout);
  assert.equal((await fetchFrom(address.port ? { port: address.port, host: address.address } : {})).body, 'listener false false');
});

test('under a daemon nginx is the one that closes idle connections', async (t) => {
  const worker = new TestWorker(t, 'listener.mjs');
  const { keepAliveTimeout, headersTimeout } = JSON.parse(await until(() => worker.stdout));
  assert.ok(keepAliveTimeout > 60_000);
  assert.ok(headersTimeout > keepAliveTimeout);
});

test('a suspended worker holds requests and upgrades until it is resumed', async (t) => {
  const worker = new TestWorker(t, 'http.js', { suspended: true });
  assert.equal((await worker.frame('online')).data.suspended, true);
  const held = [worker.get('/'), worker.get('/', { method: 'POST', body: 'x'.repeat(300_000) })];
  const socket = net.connect(worker.socketPath);
  t.after(() => socket.destroy());
  socket.write('GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
  const gone = net.connect(worker.socketPath);
  gone.end('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n');
  gone.resume();
  await once(gone, 'close');
  const upgraded = once(socket, 'data');
  const early = await Promise.race([...held, upgraded, worker.ask('a round trip')]);
  assert.equal(early[0].type, 'reply', 'nothing was answered before the worker was resumed');
  worker.tell('resume');
  assert.deepEqual((await Promise.all(held)).map(({ status, body }) => [status, body]), [[200, 'GET 0'], [200, 'POST 300000']]);
  assert.match(String((await upgraded)[0]), /^HTTP\/1.1 101 /);
  assert.equal(worker.frames.some((frame) => frame.type === 'send-app-msg'), false, 'nobody waits for /slow any more');
});

/** A request whose body is sent when the server asks for it. */
async function patient(worker) {
  const body = 'body';
  const req = http.request({ socketPath: worker.socketPath, method: 'POST', agent: false, headers: { 'Expect': '100-continue', 'Content-Length': body.length } });
  req.flushHeaders();
  req.on('continue', () => req.end(body));
  const [{ statusCode, headers }] = await once(req, 'response');
  return { status: statusCode, headers };
}

for (const limit of ['TEST_TIME_LIMIT', 'TEST_SOCKET_TIME_LIMIT']) {
  test(`a request may be held back for longer than the server gives a client: ${limit}`, async (t) => {
    const worker = new TestWorker(t, 'http.js', { suspended: true, env: { [limit]: '300' } });
    await worker.frame('online');
    const held = worker.get('/', { method: 'POST', body: 'x'.repeat(3_000_000) });
    await until(async () => (await worker.ping()).held === 1);
    // Its time is over when that of one is over that has come later.
    const slow = net.connect(worker.socketPath);
    slow.write('GET / HTTP/1.1\r\n');
    await once(slow.resume(), 'close');
    worker.tell('resume');
    const { status, body } = await held;
    assert.deepEqual([status, body], [200, 'POST 3000000']);
  });
}

test('a suspended worker that is shut down refuses what it holds', async (t) => {
  const worker = new TestWorker(t, 'http.js', { suspended: true });
  await worker.frame('online');
  const agent = keepAlive(t);
  const held = [worker.get('/', { agent }), worker.get('/', { method: 'POST', body: 'x'.repeat(300_000) }), patient(worker)];
  const socket = net.connect(worker.socketPath);
  socket.write('GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
  await until(async () => (await worker.ping()).held === 4);
  worker.tell('shutdown');
  for (const { status, headers } of await Promise.all(held)) {
    assert.deepEqual([status, headers.connection, headers['retry-after']], [503, 'close', '0']);
  }
  const [head] = await once(socket, 'data');
  assert.match(String(head), /^HTTP\/1.1 503 /);
  assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
});

test('a draining worker answers what it has and what still comes, each for the last time', async (t) => {
  const worker = new TestWorker(t, 'http.js');
  await worker.frame('online');
  const [idle, unused] = [keepAlive(t), net.connect(worker.socketPath)];
  await worker.get('/', { agent: idle });
  const urls = ['/slow', '/stubborn', '/stubborn-list', '/stubborn-pairs'];
  const kept = urls.map((url) => worker.get(url, { agent: keepAlive(t) }));
  for (const url of urls) {
    await worker.frame('send-app-msg', (frame) => frame.data.data === url);
  }
  worker.tell('shutdown');
  await worker.ask('a round trip');

  const onIdle = await worker.get('/', { agent: idle, method: 'POST', body: 'body' });
  assert.deepEqual([onIdle.reused, onIdle.body, onIdle.headers.connection], [true, 'POST 4', 'close']);
  const onNew = await worker.get('/', { agent: keepAlive(t) });
  assert.deepEqual([onNew.body, onNew.headers.connection], ['GET 0', 'close']);

  worker.tell('app-msg', { message: 'finish' });
  const answers = await Promise.all(kept);
  assert.deepEqual(answers.map(({ body }) => body), ['slow', 'stubborn', 'stubborn', 'stubborn']);
  assert.deepEqual(answers.map(({ headers }) => headers.connection), ['close', 'close', 'close', 'close']);
  assert.deepEqual(answers.map(({ headers }) => headers['x-kept']), [undefined, 'yes', 'yes', 'yes']);
  for (const { headers } of answers.slice(2)) assert.deepEqual(headers['set-cookie'], ['a=1', 'b=2']);

  unused.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  assert.match(String((await once(unused, 'data'))[0]), /^HTTP\/1.1 200 /);
  assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
  assert.equal(worker.stdout, 'closed\n');
});

test('a draining worker that answers before it has read a request reads the rest of it before it closes', async (t) => {
  const worker = new TestWorker(t, 'http.js');
  await worker.frame('online');
  const socket = net.connect({ path: worker.socketPath, allowHalfOpen: true });
  let said = '';
  socket.on('data', (text) => (said += text));
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => said.includes('GET 0'));
  worker.tell('shutdown');
  await worker.ask('a round trip');
  const half = Buffer.alloc(1_000_000);
  const send = promisify(socket.write.bind(socket));
  socket.write(`POST /too-large HTTP/1.1\r\nHost: x\r\nContent-Length: ${2 * half.length}\r\n\r\n`);
  await Promise.all([send(half), once(socket, 'end')]);
  assert.match(said, /413[^]*Connection: close/);
  await send(half);
  socket.end();
  assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
});

test('an answer that had begun goes on, and its connection may be used once more', async (t) => {
  const worker = new TestWorker(t, 'http.js');
  await worker.frame('online');
  const agent = keepAlive(t);
  const streaming = worker.get('/streaming', { agent });
  await worker.ask('a round trip');
  await until(() => Object.values(agent.sockets).flat()[0]?.bytesRead);
  worker.tell('shutdown');
  await worker.ask('a round trip');
  worker.tell('app-msg', { message: 'finish' });
  assert.equal((await streaming).body, 'first,last');
  const next = await worker.get('/', { agent });
  assert.deepEqual([next.reused, next.headers.connection], [true, 'close']);
  assert.equal((await worker.exited).code, 0);
});

test('idle connections are closed once even a late nginx must have given them up', async (t) => {
  const worker = new TestWorker(t, 'http.js', { env: { TEST_KEEP_ALIVE: '100', NODESOCKD_SHUTDOWN_TIMEOUT: '60000' } });
  await worker.frame('online');
  await worker.get('/', { agent: keepAlive(t) });
  worker.tell('shutdown');
  assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
});

test('before SIGTERM, idle connections are closed and upgraded ones are ended', async (t) => {
  const worker = new TestWorker(t, 'http.js', { env: { NODESOCKD_SHUTDOWN_TIMEOUT: '3000' } });
  await worker.frame('online');
  await worker.get('/', { agent: keepAlive(t) });
  const sockets = await Promise.all(['/polite', '/deaf'].map(async (url) => {
    const socket = net.connect({ path: worker.socketPath, allowHalfOpen: url === '/deaf' });
    socket.write(`GET ${url} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n`);
    await once(socket, 'data');
    return socket;
  }));
  sockets.forEach((socket) => socket.on('error', () => {}));
  worker.tell('shutdown');
  const [goodbye] = await once(sockets[0], 'data');
  assert.equal(String(goodbye), 'goodbye', 'the application hears of it first');
  sockets[1].resume();
  await once(sockets[1], 'end');
  assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
});

/** A WebSocket to a worker, when it is open. */
async function webSocket(t, worker, path) {
  const socket = new WebSocket(`ws+unix:${worker.socketPath}:${path}`);
  t.after(() => socket.terminate());
  await once(socket, 'open');
  return socket;
}

test('WebSockets that are told to close do, and the worker goes as soon as they have', async (t) => {
  const worker = new TestWorker(t, 'websocket.js');
  await worker.frame('online');
  const socket = await webSocket(t, worker, '/told');
  worker.tell('shutdown');
  const [code] = await once(socket, 'close');
  assert.equal(code, 1012);
  assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
});

test('WebSockets that nobody tells are told one after the other that the service restarts', async (t) => {
  const worker = new TestWorker(t, 'websocket.js');
  await worker.frame('online');
  const sockets = await Promise.all(Array.from({ length: 30 }, () => webSocket(t, worker, '/')));
  const closed = Promise.all(sockets.map((socket) => once(socket, 'close')));
  worker.tell('shutdown');
  await Promise.race(sockets.map((socket) => once(socket, 'close')));
  const open = sockets.filter(({ readyState }) => readyState === WebSocket.OPEN);
  assert.ok(open.length > 10, `${open.length} are open when the first is closed`);
  open.at(-1).send('still there?');
  assert.equal(String((await once(open.at(-1), 'message'))[0]), 'still there?');
  for (const [code] of await closed) assert.equal(code, 1012);
  assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
});

test('a WebSocket that does not listen is cut before SIGTERM', async (t) => {
  const worker = new TestWorker(t, 'websocket.js', { env: { NODESOCKD_SHUTDOWN_TIMEOUT: '3000' } });
  await worker.frame('online');
  const socket = net.connect({ path: worker.socketPath, allowHalfOpen: true });
  socket.on('error', () => {});
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
  await once(socket, 'data');
  worker.tell('shutdown');
  const [frame] = await once(socket, 'data');
  assert.deepEqual([...frame], [0x88, 2, 0x03, 0xf4]);
  await once(socket.resume(), 'end');
  assert.equal((await worker.exited).code, 0);
});

test('nothing is put between the bytes of a WebSocket that the app passes on', async (t) => {
  const worker = new TestWorker(t, 'http.js', { env: { NODESOCKD_SHUTDOWN_TIMEOUT: '3000' } });
  await worker.frame('online');
  const socket = net.connect(worker.socketPath);
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  await once(socket, 'data');
  const half = Buffer.from([0x82, 0x04, 0x01, 0x02]);
  socket.write(half);
  const passed = [];
  socket.on('data', (bytes) => passed.push(...bytes));
  await until(() => passed.length === half.length);
  worker.tell('shutdown');
  await once(socket, 'end');
  assert.deepEqual(passed, [...half]);
  assert.equal((await worker.exited).code, 0);
});

test('before SIGTERM, server-sent events end after a whole event, and other answers are left alone', async (t) => {
  const worker = new TestWorker(t, 'http.js', { env: { NODESOCKD_SHUTDOWN_TIMEOUT: '3000' } });
  await worker.frame('online');
  const events = worker.get('/events', { agent: keepAlive(t) });
  const download = worker.get('/streaming');
  await until(() => worker.frames.filter((frame) => frame.type === 'send-app-msg').length === 2);
  worker.tell('shutdown');
  const { body, status } = await events;
  assert.equal(status, 200);
  assert.match(body, /^(data: \d+\n\n)+$/);
  worker.tell('app-msg', { message: 'finish' });
  assert.equal((await download).body, 'first,last');
  assert.equal((await worker.exited).code, 0);
});

test('server-sent events to browsers end one after the other, those that nobody begins anew last of all', async (t) => {
  const worker = new TestWorker(t, 'http.js', { env: { NODESOCKD_SHUTDOWN_TIMEOUT: '4000' } });
  await worker.frame('online');
  const ended = [];
  const read = (who, options) => worker.get('/events', options).then(({ body }) => ended.push({ who, body }));
  const answer = read('answer', { method: 'POST', headers: { accept: 'text/event-stream' } });
  const browsers = Array.from({ length: 16 }, () => read('browser', { headers: { accept: 'text/event-stream' } }));
  await until(() => worker.frames.filter((frame) => frame.type === 'send-app-msg').length === 17);
  worker.tell('shutdown');
  await Promise.race(browsers);
  assert.ok(ended.length < 12, `${ended.length} have ended with the first`);
  await Promise.all([...browsers, answer]);
  assert.equal(ended.at(-1).who, 'answer');
  for (const { body } of ended) assert.match(body, /^(data: \d+\n\n)+$/);
  assert.equal((await worker.exited).code, 0);
});

test('a worker that cannot exit says what keeps it', async (t) => {
  const worker = new TestWorker(t, 'http.js', { env: { NODESOCKD_SHUTDOWN_TIMEOUT: '300' } });
  await worker.frame('online');
  const slow = worker.get('/slow');
  await worker.frame('send-app-msg');
  worker.tell('shutdown');
  await until(() => /1 requests in progress.*kept alive by.*shutdownTimeout/s.test(worker.stderr));
  worker.tell('app-msg', { message: 'finish' });
  assert.equal((await slow).body, 'slow');
  assert.equal((await worker.exited).code, 0);
});

test('an app that cannot listen fails with the reason', async (t) => {
  const dir = tempDir(t);
  const worker = new TestWorker(t, 'http.js', { env: { NODESOCKD_SOCKET_PATH: path.join(dir, 'none', 'app.sock') } });
  const { code, stderr } = await worker.exited;
  assert.equal(code, 1);
  assert.match(stderr, /listen (ENOENT|EACCES).*app\.sock/);
});

test('listen says what it takes', async () => {
  const nodesockd = require('nodesockd');
  for (const target of [undefined, null, 42, 'app', {}]) {
    await assert.rejects(nodesockd.listen(target), { name: 'TypeError', message: /takes a server of HTTP/ });
  }
});

test('a spare worker accepts from the socket that it is told when it is resumed', async (t) => {
  const [first, second] = [await inheritedSocket(t), await inheritedSocket(t)];
  const spare = new TestWorker(t, 'http.js', { suspended: true, listenFd: first.fd, env: { LISTEN_FDS: '2' }, moreFds: [second.fd] });
  await spare.frame('online');
  [first, second].forEach((socket) => socket.letGo());
  const answer = fetchFrom({ socketPath: second.socketPath });
  spare.tell('resume', { fd: 5 });
  assert.equal((await answer).status, 200);
  // Nobody holds the other one any more: who comes is turned away instead of waiting.
  await assert.rejects(fetchFrom({ socketPath: first.socketPath }), { code: 'ECONNREFUSED' });
});

test('a worker that is resumed and shut down in the same moment leaves what waits to the next one', async (t) => {
  const socket = await inheritedSocket(t);
  const start = () => new TestWorker(t, 'http.js', { suspended: true, listenFd: socket.fd });
  const [first, next] = [start(), start()];
  await Promise.all([first.frame('online'), next.frame('online')]);
  socket.letGo();
  // It reads both at once.
  first.process.kill('SIGSTOP');
  first.tell('resume');
  first.tell('shutdown');
  first.process.kill('SIGCONT');
  const answer = fetchFrom({ socketPath: socket.socketPath });
  await until(() => first.process.exitCode !== null, () => 'the end of a worker that was shut down');
  next.tell('resume');
  assert.equal((await answer).status, 200);
  assert.deepEqual(await first.exited, { code: 0, signal: null, stderr: '' });
});

test('a worker to which its wrapper has not handed the socket on says so', async (t) => {
  const wrapped = ['-c', 'LISTEN_PID=1 exec "$0" "$@"', process.execPath];
  const worker = new TestWorker(t, 'http.js', { env: { LISTEN_FDS: '1' }, runtime: 'sh', nodeArgs: wrapped });
  const { code, stderr } = await worker.exited;
  assert.equal(code, 1);
  assert.match(stderr, /has given it to process 1, which has started this one without it: .*options\.listen = "worker"/);
  assert.deepEqual(worker.frames, []);
});

test('connections on an inherited socket wait in the kernel for the next worker', async (t) => {
  const socket = await inheritedSocket(t);
  const start = (suspended) => new TestWorker(t, 'http.js', { suspended, listenFd: socket.fd });
  const [suspended, next] = [start(true), start(true)];
  await Promise.all([suspended.frame('online'), next.frame('online')]);
  socket.letGo();
  const held = Promise.all(Array.from({ length: 20 }, () => fetchFrom({ socketPath: socket.socketPath, method: 'POST', body: 'x' })));
  suspended.tell('shutdown');
  assert.deepEqual(await suspended.exited, { code: 0, signal: null, stderr: '' });
  next.tell('resume');
  assert.deepEqual(new Set((await held).map(({ status, body }) => `${status} ${body}`)), new Set(['200 POST 1']));

  const agent = keepAlive(t);
  await fetchFrom({ socketPath: socket.socketPath, agent });
  next.tell('shutdown');
  await next.ask('a round trip');
  const last = await fetchFrom({ socketPath: socket.socketPath, agent });
  assert.deepEqual([last.reused, last.headers.connection], [true, 'close']);
  assert.equal((await next.exited).code, 0);
  assert.ok(fs.existsSync(socket.socketPath), 'the socket is not ours to remove');
});
