'use strict';

// What a worker and its daemon say to each other, on whichever line.
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { once } = require('node:events');
const net = require('node:net');
const path = require('node:path');
const { test } = require('node:test');
const { TestDaemon, TestWorker, until } = require('./support.js');

test('an app of the 2.x pattern works unchanged', async (t) => {
  const worker = new TestWorker(t, 'classic.js', { suspended: true });
  assert.deepEqual((await worker.frame('online')).data, { id: worker.id, pid: worker.process.pid, suspended: true, heartbeat: true, leader: false, counts: false });
  const held = worker.get();
  const early = await Promise.race([held, worker.ask('a round trip')]);
  assert.ok(Array.isArray(early), 'held back by the middleware');
  worker.tell('resume');
  assert.equal((await held).body, 'classic');
  await worker.frame('send-app-msg', (frame) => frame.data.message === 'resumed');
  assert.equal((await worker.get()).body, 'classic');
  worker.tell('shutdown');
  assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
});

test('the middleware refuses what it holds when the worker is shut down', async (t) => {
  const worker = new TestWorker(t, 'classic.js', { suspended: true });
  await worker.frame('online');
  const held = worker.get();
  await worker.ask('a round trip');
  worker.tell('shutdown');
  const { status, headers } = await held;
  assert.deepEqual([status, headers.connection, headers['retry-after']], [503, 'close', '0']);
  assert.equal((await worker.exited).code, 0);
});

test('without a daemon everything is there and nothing happens', () => {
  const script = `
    import nodesockd, * as named from 'nodesockd';
    import { createRequire } from 'node:module';
    import assert from 'node:assert/strict';
    assert.equal(createRequire(import.meta.url)('nodesockd'), nodesockd);
    for (const name of Object.keys(named)) assert.equal(named[name], nodesockd[name], name);
    assert.deepEqual([nodesockd.id, nodesockd.shortId, nodesockd.socketPath, nodesockd.suspended], [undefined, undefined, undefined, false]);
    await nodesockd.resumed;
    await nodesockd.run();
    await nodesockd.reportOnline();
    nodesockd.setRequestHandler(() => {});
    nodesockd.on('message', () => {}).on('shutdown', () => {});
    assert.equal(await nodesockd.sendAppMessage('hello'), undefined);
    await assert.rejects(async () => nodesockd.sendAppRequest('hello'), { code: 'ERR_STANDALONE' });
    let passed = false;
    nodesockd.suspendMiddleware({}, {}, () => (passed = true));
    assert.ok(passed);
    console.log('done');`;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: __dirname, env: { PATH: process.env.PATH } });
  assert.equal(String(output), 'done\n');
});

test('a worker with nothing to do lives until it is shut down, suspended or not', async (t) => {
  for (const suspended of [false, true]) {
    const worker = new TestWorker(t, 'silent.js', { suspended });
    await worker.frame('online');
    await worker.ask('a round trip');
    worker.tell('resume');
    await worker.ask('a round trip');
    worker.tell('shutdown');
    assert.equal((await worker.exited).code, 0);
  }
});

test('a ping is answered by its number, suspended or not, and by nobody who is asked nothing', async (t) => {
  for (const suspended of [false, true]) {
    const worker = new TestWorker(t, 'talk.js', { suspended });
    await worker.frame('online');
    worker.tell('ping', { seq: 7 });
    assert.deepEqual((await worker.frame('pong')).data, { seq: 7 });
    for (const data of [undefined, {}, { seq: 'x' }, { seq: 1.5 }]) worker.tell('ping', data);
    worker.tell('ping', { seq: 8 });
    const pong = await worker.frame('pong', (frame) => frame.data.seq !== 7);
    assert.equal(pong.data.seq, 8);
    worker.tell('shutdown');
    assert.equal((await worker.exited).code, 0);
  }
});

test('an answer says how many requests the suspended worker holds', async (t) => {
  const worker = new TestWorker(t, 'http.js', { suspended: true });
  await worker.frame('online');
  const held = [worker.get('/1'), worker.get('/2')];
  const count = async () => (await worker.ping()).held;
  await until(async () => (await count()) === held.length);
  const impatient = net.connect(worker.socketPath);
  impatient.write('GET /3 HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(async () => (await count()) === held.length + 1);
  impatient.destroy();
  await until(async () => (await count()) === held.length);
  worker.tell('resume');
  await Promise.all(held);
  assert.equal(await count(), held.length, 'the first answer after that says how many had waited');
  assert.equal(await count(), undefined);
});

test('an answer says that a debugger may stop the worker', async (t) => {
  const worker = new TestWorker(t, 'talk.js', { env: { NODE_OPTIONS: '--inspect=127.0.0.1:0' } });
  await worker.frame('online');
  worker.tell('ping', { seq: 1 });
  assert.deepEqual((await worker.frame('pong')).data, { seq: 1, inspected: true });
  worker.tell('shutdown');
  assert.equal((await worker.exited).code, 0);
});

test('requests are answered with what the handler returns, and its errors', async (t) => {
  const worker = new TestWorker(t, 'talk.js');
  const { pid } = worker.process;
  const answers = async (request, data) => (await worker.ask(request, data)).map(({ data, errors, done }) => ({ data, errors, done }));
  const one = (data) => [{ data: { pid, ...data }, errors: undefined, done: true }];
  const part = (data) => ({ data: { pid, data }, errors: undefined, done: undefined });
  const end = { data: undefined, errors: undefined, done: true };
  const failed = (...errors) => ({ data: undefined, errors, done: true });

  assert.deepEqual(await answers('echo', { a: ['ä', 1, null] }), one({ data: { a: ['ä', 1, null] } }));
  assert.deepEqual(await answers('nothing'), one({}));
  assert.deepEqual(await answers('later'), one({ data: [1, 2] }));
  assert.deepEqual(await answers('count', 3), [part(1), part(2), part(3), end]);
  assert.deepEqual(await answers('stream'), [part('a'), part('b'), end]);
  assert.deepEqual(await answers('throw'), [failed('no such thing')]);
  assert.deepEqual(await answers('reject'), [failed('null')]);
  assert.deepEqual(await answers('half'), [part('one'), failed('half way')]);
  assert.match((await answers('circle'))[0].errors[0], /circular/);
  assert.match((await answers('huge'))[0].errors[0], /longer than/);
});

test('what a worker starts is not the worker, although it knows which one it belongs to', async (t) => {
  const worker = new TestWorker(t, 'talk.js', { suspended: true });
  await worker.frame('online');
  const [child] = await worker.ask('child');
  assert.equal(child.data.data.stdout, `${worker.id} true standalone\n`);
  const [thread] = await worker.ask('thread');
  assert.equal(thread.data.data, `${worker.id} true standalone`);
  worker.tell('resume');
  const [later] = await worker.ask('thread');
  assert.equal(later.data.data, `${worker.id} false standalone`);
});

test('nothing a daemon or another library sends brings a worker down', async (t) => {
  const worker = new TestWorker(t, 'talk.js');
  await worker.frame('online');
  for (const frame of [null, 1, 'x', [], {}, { type: 7 }, { type: 'nonsense' }, { type: 'app-msg' }, { type: 'app-msg', data: 5 }]) {
    worker.process.send(frame ?? 'null');
  }
  worker.process.send({ type: 'reply', requestId: 'nobody', done: true });
  worker.process.send({ type: 'detach' });
  worker.process.send({ type: 'set-name', data: { name: {} } });
  worker.process.send({ type: 'app-req' });
  worker.process.send({ type: 'app-req', id: 'nameless' });
  worker.process.send({ type: 'resume' });
  worker.tell('app-msg', { message: 'title' });
  assert.equal((await worker.frame('send-app-msg')).data.data, `test worker '${worker.id.slice(-5)}'`);
  await until(() => /thrown by a listener/.test(worker.stderr) && /rejected by a listener/.test(worker.stderr));
  assert.match((await worker.frame('reply', (frame) => frame.requestId === 'nameless')).errors[0], /without a name/);
  assert.equal((await worker.ask('echo', 1))[0].data.data, 1);
});

test('the title follows the name', async (t) => {
  const worker = new TestWorker(t, 'talk.js');
  worker.tell('set-name', { name: 'shop' });
  worker.tell('app-msg', { message: 'title' });
  assert.equal((await worker.frame('send-app-msg')).data.data, `shop worker '${worker.id.slice(-5)}'`);
});

test('a worker asks others, and gets all answers or one after the other', async (t) => {
  const worker = new TestWorker(t, 'talk.js');
  worker.tell('app-msg', { message: 'ask', data: 5 });
  const all = await worker.frame('send-app-req');
  assert.deepEqual(all.data, { request: 'who', data: 5, workers: 'self' });
  worker.tell('ignored', {});
  worker.process.send({ type: 'reply', requestId: all.id, data: { id: 'a', pid: 1 } });
  worker.process.send({ type: 'reply', requestId: all.id, data: { id: 'b', pid: 2 } });
  worker.process.send({ type: 'reply', requestId: all.id, done: true });
  const each = await worker.frame('send-app-req', (frame) => frame.data.workers === '0');
  worker.process.send({ type: 'reply', requestId: each.id, data: { id: 'c', pid: 3 }, done: true });
  const answers = await worker.frame('send-app-msg');
  assert.deepEqual(answers.data.data, { all: [{ id: 'a', pid: 1 }, { id: 'b', pid: 2 }], each: [{ id: 'c', pid: 3 }] });
});

test('a worker that is shut down gets the answers that it waits for', async (t) => {
  const worker = new TestWorker(t, 'talk.js');
  worker.tell('app-msg', { message: 'ask' });
  const all = await worker.frame('send-app-req');
  worker.tell('shutdown');
  for (let round = 0; round < 20; round += 1) await worker.ask('a round trip');
  worker.process.send({ type: 'reply', requestId: all.id, data: { id: 'a', pid: 1 }, done: true });
  const each = await worker.frame('send-app-req', (frame) => frame.data.workers === '0');
  worker.process.send({ type: 'reply', requestId: each.id, done: true });
  const answers = await worker.frame('send-app-msg');
  assert.deepEqual(answers.data.data, { all: [{ id: 'a', pid: 1 }], each: [] });
  assert.equal((await worker.exited).code, 0);
});

test('when the daemon dies, the worker serves on, finds the next one and tells it how things are', async (t) => {
  const worker = new TestWorker(t, 'talk.js');
  await worker.frame('online');
  worker.tell('app-msg', { message: 'broken', data: 'no more disk' });
  assert.deepEqual((await worker.frame('broken')).data, { id: worker.id, pid: worker.process.pid, reason: 'no more disk' });
  worker.tell('app-msg', { message: 'ask' });
  await worker.frame('send-app-req');
  worker.process.disconnect();
  await until(() => /lost the daemon/.test(worker.stderr));

  const first = new TestDaemon(t, worker.ipcPath);
  await first.frame('online');
  assert.deepEqual((await first.frame('broken')).data.reason, 'no more disk');
  first.kill();
  const second = new TestDaemon(t, worker.ipcPath);
  assert.deepEqual((await second.frame('online')).data, { id: worker.id, pid: worker.process.pid, heartbeat: true, leader: false, counts: false });
  second.tell('app-req', { request: 'count', data: 2 }, 'r');
  await second.frame('reply', (frame) => frame.requestId === 'r' && frame.done);
  second.tell('shutdown');
  assert.equal((await worker.exited).code, 0, 'the line does not keep it alive any more');
});

test('a detached worker reports to the daemon it is sent to, still suspended, and can be resumed there', async (t) => {
  const worker = new TestWorker(t, 'classic.js', { suspended: true });
  await worker.frame('online');
  const next = new TestDaemon(t, path.join(worker.dir, 'next.ipc'));
  worker.tell('detach', { ipcPath: path.join(worker.dir, 'next.ipc') });
  const { data } = await next.frame('online');
  assert.deepEqual(data, { id: worker.id, pid: worker.process.pid, suspended: true, heartbeat: true, leader: false, counts: false });
  worker.process.disconnect();
  next.tell('resume');
  await next.frame('send-app-msg', (frame) => frame.data.message === 'resumed');
  assert.equal((await worker.get()).body, 'classic');
  next.kill();
  const again = new TestDaemon(t, path.join(worker.dir, 'next.ipc'));
  assert.deepEqual((await again.frame('online')).data, { id: worker.id, pid: worker.process.pid, heartbeat: true, leader: false, counts: false });
});

test('without a channel the worker goes to the IPC socket', async (t) => {
  const worker = new TestWorker(t, 'talk.js', { channel: false });
  const daemon = new TestDaemon(t, worker.ipcPath);
  assert.equal((await daemon.frame('online')).data.pid, worker.process.pid);
});

test('garbage on the IPC socket costs the connection, not the worker', async (t) => {
  const worker = new TestWorker(t, 'talk.js', { channel: false });
  const garbage = ['not json\n', '\n', '7\n', Buffer.from([0xff, 0xfe, 0x0a]), 'x'.repeat((2 << 20) + 1)];
  const server = net.createServer((socket) => {
    socket.on('error', () => {}).resume();
    socket.write(garbage.shift());
    if (garbage.length === 0) server.close();
  });
  server.listen(worker.ipcPath);
  await once(server, 'close');
  const daemon = new TestDaemon(t, worker.ipcPath);
  await daemon.frame('online');
  daemon.tell('app-req', { request: 'echo', data: 1 }, 'r');
  assert.equal((await daemon.frame('reply')).data.data, 1);
});
