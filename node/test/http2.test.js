'use strict';

// HTTP/2: streams are held, answered and drained as requests are.
const assert = require('node:assert/strict');
const { once } = require('node:events');
const http2 = require('node:http2');
const net = require('node:net');
const path = require('node:path');
const { test } = require('node:test');
const { Load, Site, streamer } = require('./site.js');
const { TestWorker } = require('./support.js');

const USERS = 4;

/** A session with a worker. */
async function connect(t, worker) {
  const session = http2.connect('http://worker', { createConnection: () => net.connect(worker.socketPath) });
  t.after(() => session.destroy());
  session.on('error', () => {});
  await once(session, 'connect');
  return session;
}

/** Resolves when the worker has got what was sent on that session. */
function arrival(session) {
  return new Promise((resolve) => session.ping(resolve));
}

/** What a stream of that session is answered. */
function ask(session, url = '/', body = '') {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': url, ':method': body ? 'POST' : 'GET', 'content-type': 'text/plain' }, { endStream: false });
    const answer = { body: '' };
    stream.setEncoding('utf8').on('data', (chunk) => (answer.body += chunk));
    stream.on('response', (headers) => Object.assign(answer, { status: headers[':status'], retry: headers['retry-after'] }));
    stream.on('error', reject);
    stream.on('close', () => (answer.status ? resolve(answer) : reject(new Error(`closed with ${stream.rstCode}, session ${session.destroyed}`))));
    stream.end(body);
  });
}

/** A worker with two sessions: a stream of the first one is answered only when the worker is told `finish`. */
async function withSlowStream(t) {
  const worker = new TestWorker(t, 'http2.js');
  await worker.frame('online');
  const [busy, idle] = [await connect(t, worker), await connect(t, worker)];
  const slow = ask(busy, '/slow');
  await worker.frame('send-app-msg');
  await ask(idle);
  return { worker, busy, idle, slow };
}

for (const way of ['requests', 'streams', 'sessions']) {
  test(`a suspended worker whose app listens for ${way} holds streams until it is resumed`, async (t) => {
    const worker = new TestWorker(t, 'http2.js', { suspended: true, env: { TEST_WAY: way } });
    await worker.frame('online');
    const session = await connect(t, worker);
    const held = [ask(session), ask(session, '/', 'x'.repeat(200_000))];
    const gone = session.request({ ':path': '/' });
    gone.on('error', () => {});
    gone.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    await arrival(session);
    const early = await Promise.race([...held, worker.ask('a round trip')]);
    assert.ok(Array.isArray(early), 'nothing was answered before the worker was resumed');
    worker.tell('resume');
    assert.deepEqual((await Promise.all(held)).map(({ status, body }) => [status, body]), [[200, 'GET 0'], [200, 'POST 200000']]);
    session.close();
    worker.tell('shutdown');
    assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
  });
}

test('a suspended worker that is shut down refuses the streams that it holds', async (t) => {
  const worker = new TestWorker(t, 'http2.js', { suspended: true });
  await worker.frame('online');
  const session = await connect(t, worker);
  const held = [ask(session), ask(session, '/', 'x'.repeat(300_000))];
  await arrival(session);
  worker.tell('shutdown');
  for (const { status, retry } of await Promise.all(held)) assert.deepEqual([status, retry], [503, '0']);
  assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
});

test('a draining worker finishes streams, says GOAWAY before they end, and takes no more', async (t) => {
  const { worker, busy, idle, slow } = await withSlowStream(t);
  const told = [once(busy, 'goaway'), once(idle, 'goaway')];
  worker.tell('shutdown');
  await Promise.all(told);
  for (const session of [busy, idle]) await assert.rejects(async () => ask(session), { code: 'ERR_HTTP2_GOAWAY_SESSION' });

  worker.tell('app-msg', { message: 'finish' });
  assert.equal((await slow).body, 'slow');
  assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
  assert.equal(worker.stdout, 'closed\n');
});

test('streams that were on their way when the client was told to open no more are answered', async (t) => {
  const { worker, busy, idle, slow } = await withSlowStream(t);
  // It reads what it is told before what arrives meanwhile, and writes GOAWAY in between.
  worker.process.kill('SIGSTOP');
  const told = once(busy, 'goaway');
  worker.tell('shutdown');
  const late = [busy, busy, idle].map((session) => ask(session, '/', 'late'));
  // Node writes a request at the end of the round of the event loop.
  for (let round = 0; round < 2; round += 1) await new Promise(setImmediate);
  worker.process.kill('SIGCONT');
  for (const { status, body } of await Promise.all(late)) assert.deepEqual([status, body], [200, 'POST 4']);
  await told;
  worker.tell('app-msg', { message: 'finish' });
  assert.equal((await slow).body, 'slow');
  assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
});

test('before SIGTERM, idle sessions are closed', async (t) => {
  const worker = new TestWorker(t, 'http2.js', { env: { NODESOCKD_SHUTDOWN_TIMEOUT: '3000' } });
  await worker.frame('online');
  const session = await connect(t, worker);
  await ask(session);
  worker.tell('shutdown');
  await once(session, 'goaway');
  assert.equal((await worker.exited).code, 0);
});

for (const listen of ['worker', 'daemon']) {
  test(`behind nginx, which keeps connections, no stream is lost in restarts, and none answered while suspended: listen = "${listen}"`, async (t) => {
    const site = new Site(t, path.join(__dirname, 'fixtures/http2.js'), {
      config: `options.listen = "${listen}"`,
      env: { TEST_WAY: 'streams' },
      protocol: 'grpc',
    });
    await site.start();
    const load = new Load(t, USERS, () => streamer(site));
    await load.flows();
    for (const suspended of [false, true, false]) {
      await site.client.restartWorkers({ suspended });
      if (suspended) {
        const { answered } = load;
        const held = streamer(site)();
        for (let round = 0; round < 50; round += 1) await Promise.race([held, site.client.getStatus()]);
        // What was on its way back may still arrive: one answer for each user.
        assert.ok(load.answered <= answered + USERS, `${load.answered - answered} answers`);
        await site.client.resumeWorkers();
        await held;
      }
      await load.flows();
    }
    await load.end();
    assert.deepEqual(load.lost.slice(0, 5), [], site.said);
  });
}

/** What one user of the gRPC server asks again and again. */
function caller(t, { front }) {
  const { Client, credentials } = require('@grpc/grpc-js');
  const client = new Client(`unix:${front}`, credentials.createInsecure());
  t.after(() => client.close());
  const same = (bytes) => bytes;
  return () => new Promise((resolve, reject) => {
    const answered = (error, bytes) => (error || String(bytes) !== 'hello' ? reject(error ?? new Error(`answer ${bytes}`)) : resolve());
    client.makeUnaryRequest('/Echo/Echo', same, same, Buffer.from('hello'), answered);
  });
}

test('a gRPC server that only knows a port is shut down after its last stream, and loses none in restarts', async (t) => {
  const site = new Site(t, path.join(__dirname, 'fixtures/grpc.js'), {
    nodeArgs: ['--import', 'nodesockd/register'],
    env: { PORT: '50051' },
    protocol: 'grpc',
  });
  await site.start();
  const load = new Load(t, USERS, () => caller(t, site));
  await load.flows();
  for (let restart = 0; restart < 2; restart += 1) {
    await site.client.restartWorkers();
    await load.flows();
  }
  await load.end();
  assert.deepEqual(load.lost.slice(0, 5), [], site.said);
  assert.match(site.daemon.output, /bound to 50051/);
  assert.match(site.daemon.output, /shut down/);
});
