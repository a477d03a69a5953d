'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { once } = require('node:events');
const net = require('node:net');
const path = require('node:path');
const { test } = require('node:test');
const { NodesockdClient, NodesockdError } = require('nodesockd/client');
const { TestDaemon, tempDir } = require('./support.js');

/** A daemon's socket on which `answer(frame, reply)` speaks, and a client of it. */
async function connected(t, answer) {
  const ipcPath = path.join(tempDir(t), 'nodesockd.ipc');
  const daemon = new TestDaemon(t, ipcPath, (frame, reply, socket) => {
    answer(frame, (...parts) => reply(...parts.map((part) => ({ type: 'reply', requestId: frame.id, ...part }))), socket);
  });
  await daemon.listening;
  const client = new NodesockdClient(ipcPath);
  t.after(() => client.terminate());
  return { client, daemon, ipcPath };
}

test('each method sends its request and returns what is answered', async (t) => {
  const { client, daemon } = await connected(t, (frame, reply) => reply({ data: { for: frame.type }, done: true }));
  const calls = [
    ['getStatus', [], 'status', undefined],
    ['getConfig', [], 'config', undefined],
    ['startWorkers', [{ suspended: true }], 'start-workers', { suspended: true }],
    ['restartWorkers', [{ maxAttempts: 3, version: '3.1.0' }], 'restart-workers', { maxAttempts: 3, version: '3.1.0' }],
    ['restartWorkers', [{ batch: 2 }], 'restart-workers', { batch: 2 }],
    ['deploy', [{ release: '/srv/2', watch: 0 }], 'deploy', { release: '/srv/2', watch: 0 }],
    ['resumeWorkers', [], 'resume-workers', undefined],
    ['stopWorkers', [], 'stop-workers', undefined],
    ['setWorkerCount', [4], 'set-worker-count', { count: 4 }],
    ['setStandbyCount', [0], 'set-standby-count', { count: 0 }],
    ['sendAppMessage', ['hi', { a: 1 }, '0-2'], 'send-app-msg', { message: 'hi', data: { a: 1 }, workers: '0-2' }],
    ['reloadConfig', [], 'reload', undefined],
  ];
  const answers = await Promise.all(calls.map(([method, args]) => client[method](...args)));
  assert.deepEqual(answers, calls.map(([, , type]) => ({ for: type })));
  assert.deepEqual(daemon.frames.map(({ type, data }) => [type, data]), calls.map(([, , type, data]) => [type, data]));
  assert.equal(new Set(daemon.frames.map(({ id }) => id)).size, calls.length);
  assert.ok(daemon.frames.every(({ id }) => /^[0-9a-f]{8}-[0-9a-f]{4}-4/.test(id)));
});

test('answers to a request come one after the other, or all at once', async (t) => {
  const parts = [{ data: { id: 'a', pid: 1, data: 'x' } }, { data: { id: 'b', pid: 2, errors: ['busy'] } }, { done: true }];
  const { client, daemon } = await connected(t, (frame, reply) => reply(...parts));
  const all = [parts[0].data, parts[1].data];
  assert.deepEqual(await client.sendAppRequest('who', { deep: true }, '!self'), all);
  assert.deepEqual(daemon.frames[0].data, { request: 'who', data: { deep: true }, workers: '!self' });
  const each = [];
  for await (const answer of client.sendAppRequest('who')) each.push(answer);
  assert.deepEqual(each, all);
  for await (const answer of client.sendAppRequest('who')) {
    assert.equal(answer.id, 'a');
    break;
  }
  assert.deepEqual(await client.sendAppRequest('who').finally(() => {}), all, 'the one that was left early disturbs nobody');
});

test('progress is asked for by whoever wants to hear of it', async (t) => {
  const step = { id: 'a', stage: 'starting' };
  const { client, daemon } = await connected(t, (frame, reply) => reply({ data: { progress: step } }, { data: { pid: 7 }, done: true }));
  const seen = [];
  assert.deepEqual(await client.restartWorkers({ onProgress: (progress) => seen.push(progress) }), { pid: 7 });
  assert.deepEqual(seen, [step]);
  assert.deepEqual(daemon.frames[0].data, { progress: true });
});

test('a deploy tells its steps to whoever wants to hear of them', async (t) => {
  const parts = [{ data: { deploy: { step: 'switched' } } }, { data: { progress: { id: 'a' } } }, { data: { pid: 7 }, done: true }];
  const { client, daemon } = await connected(t, (frame, reply) => reply(...parts));
  const seen = [];
  assert.deepEqual(await client.deploy({ release: 'x', onStep: (step) => seen.push(step) }), { pid: 7 });
  assert.deepEqual(seen, [{ step: 'switched' }]);
  assert.deepEqual(daemon.frames[0].data, { release: `${process.cwd()}/x`, progress: true });
  await assert.rejects(client.deploy({ watch: '1s' }), /`watch` must be/);
});

test('a refusal carries its reasons, its kind and what goes with it', async (t) => {
  const { client } = await connected(t, (frame, reply) =>
    reply({ errors: ['worker a: exit status 1', 'worker b: timed out'], code: 'start-failed', data: { failed: [1] } }),
  );
  const failed = { name: 'NodesockdError', message: 'worker a: exit status 1; worker b: timed out', code: 'start-failed', data: { failed: [1] } };
  await assert.rejects(client.restartWorkers(), failed);
  await assert.rejects(async () => client.sendAppRequest('x'), { errors: ['worker a: exit status 1', 'worker b: timed out'] });
  await assert.rejects(client.getStatus(), NodesockdError);
});

test('bytes may be cut anywhere, inside a character too', async (t) => {
  const { client } = await connected(t, (frame, reply, socket) => {
    const line = Buffer.from(`${JSON.stringify({ type: 'reply', requestId: frame.id, data: 'häuschen 🏠', done: true })}\n`);
    socket.setNoDelay?.(true);
    const step = (at) => at < line.length && socket.write(line.subarray(at, at + 1), () => setImmediate(step, at + 1));
    step(0);
  });
  assert.equal(await client.getStatus(), 'häuschen 🏠');
});

test('one that is no daemon is told apart, whatever it says', async (t) => {
  const garbage = ['HTTP/1.1 400 Bad Request\r\n\r\n', '\n', '"text"\n', 'null\n', Buffer.from([0xff, 0x0a]), Buffer.alloc((2 << 20) + 1, 'x')];
  for (const bytes of garbage) {
    const { client } = await connected(t, (frame, reply, socket) => socket.write(bytes));
    await assert.rejects(client.getStatus(), ({ code }) => code === 'ERR_PROTOCOL' || code === 'ERR_TOO_LONG', String(bytes).slice(0, 20));
  }
});

test('frames that answer nothing of ours are ignored', async (t) => {
  const { client } = await connected(t, (frame, reply, socket) => {
    for (const other of [{}, [], { type: 'nonsense' }, { type: 'reply' }, { type: 'reply', requestId: 'other', done: true }]) {
      socket.write(`${JSON.stringify(other)}\n`);
    }
    reply({ errors: [], data: 'ours', done: true });
  });
  assert.equal(await client.getStatus(), 'ours');
});

test('requests fail when the daemon goes away, and the next one connects again', async (t) => {
  let polite = false;
  const { client } = await connected(t, (frame, reply, socket) => (polite ? reply({ done: true, data: 1 }) : socket.destroy()));
  await assert.rejects(Promise.all([client.getStatus(), client.getConfig()]), { code: 'ERR_CLOSED', message: /closed the connection/ });
  polite = true;
  assert.equal(await client.getStatus(), 1);
});

test('without a daemon one is told so', async (t) => {
  const dir = tempDir(t);
  const nobody = new NodesockdClient(path.join(dir, 'none.ipc'));
  await assert.rejects(nobody.getStatus(), { code: 'ENOENT', message: /no daemon listens on .*none\.ipc/ });
  await assert.rejects(nobody.run(), { code: 'ENOENT' });
  await assert.rejects(nobody.run(() => assert.fail('not called')), { code: 'ENOENT' });
  assert.throws(() => new NodesockdClient(), TypeError);
});

test('what is too long is not sent', async (t) => {
  const { client } = await connected(t, (frame, reply) => reply({ done: true, data: 1 }));
  await assert.rejects(client.sendAppMessage('long', 'x'.repeat(1 << 20)), { code: 'ERR_TOO_LONG' });
  await assert.rejects(client.sendAppMessage('big', 1n), TypeError);
  assert.equal(await client.getStatus(), 1);
});

test('run connects, and hangs up after the function it is given', async (t) => {
  const { client, daemon } = await connected(t, (frame, reply) => reply({ data: frame.type, done: true }));
  await client.run();
  assert.equal(await client.getStatus(), 'status');
  const [socket] = daemon.sockets;
  assert.equal(await client.run((it) => it.getConfig()), 'config');
  await once(socket, 'close');
  await assert.rejects(client.run(() => Promise.reject(new Error('mine'))), /mine/);
});

test('terminate fails what is waiting', async (t) => {
  const { client } = await connected(t, () => client.terminate());
  await assert.rejects(client.getStatus(), { code: 'ERR_CLOSED', message: /terminated/ });
});

test('an open connection does not keep a process alive; an answer to come does', async (t) => {
  const ipcPath = path.join(tempDir(t), 'nodesockd.ipc');
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (line) => socket.write(`{"type":"reply","requestId":"${JSON.parse(line).id}","data":5,"done":true}\n`));
  });
  server.listen(ipcPath);
  await once(server, 'listening');
  t.after(() => server.close());
  const script = `
    const { NodesockdClient } = require('nodesockd/client');
    new NodesockdClient(process.argv[1]).getStatus().then(console.log);`;
  const { promisify } = require('node:util');
  const { stdout } = await promisify(require('node:child_process').execFile)(process.execPath, ['-e', script, ipcPath], { cwd: __dirname });
  assert.equal(stdout, '5\n');
});

test('the types hold for both kinds of import', () => {
  const tsc = path.join(__dirname, '..', 'node_modules', 'typescript', 'bin', 'tsc');
  execFileSync(process.execPath, [tsc, '--project', path.join(__dirname, 'types')], { stdio: 'inherit' });
});
