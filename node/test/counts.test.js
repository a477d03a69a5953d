'use strict';

// What a worker counts for the daemon: requests, and how late its event loop was.
const assert = require('node:assert/strict');
const { once } = require('node:events');
const http2 = require('node:http2');
const net = require('node:net');
const { test } = require('node:test');
const { TestDaemon, TestWorker, until } = require('./support.js');

const COUNTING = { NODESOCKD_COUNT: 'true' };

/** What the worker has said last. */
const said = (worker) => worker.frames.filter((frame) => frame.type === 'counted').at(-1)?.data;
const sum = (counts) => counts.reduce((all, count) => all + count, 0);

/** Waits until the worker has said that it has answered so many. */
const counted = (worker, count) => until(() => said(worker) && sum(said(worker).requests) === count && said(worker));

test('requests are counted by their answers, and those that go away before by themselves', async (t) => {
  const worker = new TestWorker(t, 'http.js', { env: COUNTING });
  assert.equal((await worker.frame('online')).data.counts, true);
  await worker.get();
  await worker.get('/', { method: 'POST', body: 'x', headers: { Expect: '100-continue' } });
  const slow = net.connect(worker.socketPath);
  slow.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => said(worker)?.inFlight === 1);
  slow.destroy();
  const { requests, duration, lag, inFlight, heapUsed, heapLimit } = await counted(worker, 3);
  assert.deepEqual([requests, inFlight], [[0, 2, 0, 0, 0, 1], 0]);
  assert.equal(sum(duration.counts), 3);
  assert.ok(duration.sum > 0 && sum(lag.counts) > 0 && heapUsed > 0 && heapLimit > heapUsed);
});

test('a worker that exits says before what it has counted', async (t) => {
  const worker = new TestWorker(t, 'http.js', { env: COUNTING });
  await worker.frame('online');
  for (let index = 0; index < 20; index += 1) await worker.get();
  worker.tell('shutdown');
  await worker.exited;
  assert.equal(said(worker).requests[1], 20);
});

test('the next daemon hears everything again, also what no daemon has heard', async (t) => {
  const worker = new TestWorker(t, 'http.js', { env: COUNTING });
  await worker.frame('online');
  await worker.get();
  worker.process.disconnect();
  await worker.get();
  const daemon = new TestDaemon(t, worker.ipcPath);
  assert.equal((await daemon.frame('online')).data.counts, true);
  const { data } = await daemon.frame('counted', (frame) => frame.data.requests[1] === 2);
  assert.equal(sum(data.duration.counts), 2);
});

test('nothing is counted until that is wanted, and not any more when it is not', async (t) => {
  const worker = new TestWorker(t, 'http.js');
  assert.equal((await worker.frame('online')).data.counts, false);
  await worker.get();
  worker.tell('count', { on: true });
  await worker.get();
  assert.equal((await counted(worker, 1)).requests[1], 1);
  worker.tell('count', { on: false });
  await worker.ask('a round trip');
  const before = worker.frames.length;
  await worker.get();
  await worker.ask('a round trip');
  assert.deepEqual(worker.frames.slice(before).map((frame) => frame.type), ['reply']);
});

test('an app that listens by itself is counted as well', async (t) => {
  const worker = new TestWorker(t, 'classic.js', { env: COUNTING });
  await worker.frame('online');
  for (let index = 0; index < 3; index += 1) await worker.get();
  assert.equal((await counted(worker, 3)).inFlight, 0);
});

test('streams of HTTP/2 are requests', async (t) => {
  const worker = new TestWorker(t, 'http2.js', { env: { ...COUNTING, TEST_WAY: 'requests' } });
  await worker.frame('online');
  const session = http2.connect('http://worker', { createConnection: () => net.connect(worker.socketPath) });
  t.after(() => session.destroy());
  for (let index = 0; index < 3; index += 1) {
    const stream = session.request({ ':path': '/' }).resume();
    await once(stream, 'close');
  }
  assert.equal((await counted(worker, 3)).requests[1], 3);
});
