'use strict';

// Apps written for 2.x. The numbers are those of the table in docs/08-from-2.x.md.
const assert = require('node:assert/strict');
const net = require('node:net');
const { once } = require('node:events');
const { test } = require('node:test');
const { TestWorker, fetchFrom, until } = require('./support.js');
const { Project } = require('./project.js');

/** Whether there is such a process. */
const isAlive = (pid) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

for (const script of ['readme.js', 'readme.mjs']) {
  test(`1 and 22: the app of 2.x's README (${script}) serves, shows its title, restarts and stops`, async (t) => {
    const project = new Project(t, script, { config: 'name: shop\nworkers: 2' });
    const client = await project.start();
    const before = await project.workers(client);
    assert.deepEqual(before.map(({ idx, state }) => [idx, state]), [[0, 'online'], [1, 'online']]);
    assert.equal((await project.get(1)).body, `readme shop worker '${before[1].id.slice(-5)}'`);
    await client.restartWorkers();
    assert.deepEqual(before.filter(({ pid }) => isAlive(pid)), [], 'the old workers ended by themselves');
    await client.stopWorkers();
    assert.deepEqual(await project.workers(client), []);
  });

  test(`1 and 22: the same app (${script}) listens on its port without a daemon`, async (t) => {
    const probe = net.createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port } = probe.address();
    probe.close();
    const project = new Project(t, script);
    const app = project.spawn(process.execPath, [script], { PORT: String(port) });
    await until(() => app.output.includes('listening'), () => app.output);
    assert.equal((await fetchFrom({ port, host: 'localhost' })).body, "readme app worker '?'");
  });
}

test('1: every way to import gives the worker', async (t) => {
  const project = new Project(t, 'readme.js');
  const commonjs = `
    const lib = require('nodesockd');
    const { nodesockd } = lib;
    const interop = (lib) => (lib.__esModule ? lib : { default: lib });
    console.log(nodesockd === lib, interop(lib).default === nodesockd, Object.keys(lib).includes('nodesockd'));`;
  assert.equal((await project.node('-e', commonjs).ended).output, 'true true false\n');
  const module = `
    import { nodesockd } from 'nodesockd';
    import other, * as all from 'nodesockd';
    console.log(nodesockd === other, all.nodesockd === other, typeof all.run);`;
  assert.equal((await project.node('--input-type=module', '-e', module).ended).output, 'true true function\n');
});

test('3 and 19: requests go to the handler of their name, unknown ones are refused in the words of 2.x', async (t) => {
  const project = new Project(t, 'consumer.js');
  const client = await project.start();
  const ask = async (request, data) => (await client.sendAppRequest(request, data)).map(({ data, errors }) => data ?? errors);
  assert.deepEqual(await ask('suspended'), [false]);
  assert.deepEqual(await ask('parts', { name: 'part' }), ['part 1', 'part 2']);
  assert.deepEqual(await ask('fails'), [['out of stock']]);
  assert.deepEqual(await ask('nonsense'), [['Unhandled application request: nonsense']]);
});

test('3: a handler for all other requests stands beside those with a name, and what is no handler is refused', async (t) => {
  const worker = new TestWorker(t, 'compat/handlers.js');
  await worker.frame('online');
  const ask = async (request, data) => {
    const [{ data: answer, errors }] = await worker.ask(request, data);
    return answer?.data ?? errors;
  };
  assert.deepEqual(await ask('named', 1), ['named', 1]);
  assert.deepEqual(await ask('whatever', 2), ['other', 'whatever', 2]);
  assert.deepEqual(await ask('gone'), ['other', 'gone', null]);
  const { nodesockd } = require('nodesockd');
  for (const args of [[], ['x'], [undefined], [5], ['x', undefined], ['x', 5], [() => {}, () => {}], ['x', () => {}, () => {}], [{}]]) {
    assert.throws(() => nodesockd.setRequestHandler(...args), { name: 'TypeError', message: /^setRequestHandler\(\): / }, String(args));
  }
});

test('4 and 13: reports are promises; without a daemon, one that is broken is told to shut down', async (t) => {
  const project = new Project(t, 'readme.js');
  const script = `
    const { nodesockd } = require('nodesockd');
    const alive = setInterval(() => {}, 1000);
    let told = false;
    nodesockd.on('shutdown', () => { console.log('shutdown'); clearInterval(alive); });
    nodesockd.on('shutdown', () => (told = true));
    nodesockd.reportOnline().then(() => console.log('online')).catch(() => console.log('never'))
      .then(() => nodesockd.reportBroken('disk').then(() => console.log('broken', told)).catch(() => console.log('never')));`;
  const { code, output } = await project.node('-e', script).ended;
  assert.deepEqual([code, output], [0, 'online\nbroken false\nshutdown\n']);
});

test('4: under a daemon a report resolves when it is said', async (t) => {
  const worker = new TestWorker(t, 'compat/handlers.js');
  await worker.frame('online');
  await worker.frame('send-app-msg', ({ data }) => data.message === 'reported');
  assert.deepEqual(worker.frames.map(({ type }) => type), ['online', 'send-app-msg']);
});

test('5: a worker without a server lives until it is told to shut down', async (t) => {
  const project = new Project(t, 'consumer.js', { config: 'workers: 2' });
  const client = await project.start();
  const before = await project.workers(client);
  await client.sendAppMessage('job', { n: 1 });
  assert.deepEqual((await client.sendAppRequest('heard')).map(({ data }) => data), [['job {"n":1}'], ['job {"n":1}']]);
  await client.sendAppRequest('suspended');
  assert.deepEqual((await project.workers(client)).map(({ pid }) => pid), before.map(({ pid }) => pid), 'none was replaced');
  await client.stopWorkers();
  assert.deepEqual(before.filter(({ pid }) => isAlive(pid)), []);
  assert.doesNotMatch(project.daemon.output, /SIGTERM|SIGKILL|failed/);
});

test('6: `!self` means the other workers in slots, not the standbys', async (t) => {
  const project = new Project(t, 'consumer.js', { config: 'workers: 2\nstandby: 1' });
  const client = await project.start();
  const [first, second, standby] = await project.workers(client);
  assert.equal(standby.idx, undefined);
  const [answer] = await client.sendAppRequest('tell', { message: 'clear-cache', workers: '!self' }, '0');
  assert.equal(answer.errors, undefined);
  const from = `clear-cache {"from":"${first.id.slice(-5)}"}`;
  await until(async () => (await client.sendAppRequest('heard', undefined, '1'))[0].data.includes(from));
  assert.deepEqual((await client.sendAppRequest('heard', undefined, '0'))[0].data, []);
  assert.deepEqual((await client.sendAppRequest('heard', undefined, standby.id))[0].data, []);
  assert.deepEqual((await client.sendAppRequest('ask', { request: 'title', workers: '1' }, '0'))[0].data, [`app worker '${second.id.slice(-5)}'`]);
});

test('13: without a daemon, `listen` closes the server of an app that is broken', async (t) => {
  const project = new Project(t, 'readme.js');
  const script = `
    const { nodesockd, listen } = require('nodesockd');
    listen((req, res) => res.end(), { port: 0 }).then((server) => {
      server.on('close', () => console.log('closed'));
      nodesockd.reportBroken(new Error('disk'));
    });`;
  assert.deepEqual(await project.node('-e', script).ended, { code: 0, signal: null, output: 'closed\n' });
});

test('14: without a daemon a request is refused in the words of 2.x, when its replies are read', async (t) => {
  const project = new Project(t, 'readme.js');
  const script = `
    const { nodesockd } = require('nodesockd');
    nodesockd.sendAppRequest('ignored');
    (async () => {
      try {
        for await (const reply of nodesockd.sendAppRequest('x')) console.log(reply);
      } catch (error) {
        console.log(error.message);
      }
    })();`;
  const words = 'Cannot send an app request when worker is running in standalone mode\n';
  assert.deepEqual(await project.node('-e', script).ended, { code: 0, signal: null, output: words });
});

test('15: listeners are added once and taken away one, all of an event, or all', async (t) => {
  const project = new Project(t, 'readme.js');
  const script = `
    const { nodesockd } = require('nodesockd');
    const calls = [];
    const a = (...args) => calls.push(['a', ...args]);
    const b = () => calls.push(['b']);
    for (const listener of [a, a, b]) nodesockd.on('message', listener);
    nodesockd.once('message', () => calls.push(['once']));
    nodesockd.on('shutdown', a);
    for (let n = 0; n < 20; n += 1) nodesockd.on('shutdown', () => {});
    nodesockd.emit('message', 1, 2);
    nodesockd.off('message', b);
    nodesockd.emit('message', 3);
    nodesockd.off('message');
    nodesockd.emit('message', 4);
    nodesockd.emit('shutdown');
    nodesockd.off();
    nodesockd.emit('shutdown');
    nodesockd.run().then(() => console.log(JSON.stringify(calls)));`;
  const { output } = await project.node('-e', script).ended;
  assert.equal(output, '[["a",1,2],["b"],["once"],["a",3],["a"]]\n');
});

test('16: the environment alone says who the worker is and where it listens', async (t) => {
  const project = new Project(t, 'readme.js');
  const socketPath = project.path('by-hand.sock');
  for (const script of ['readme.js', 'listen.js']) {
    const app = project.spawn(process.execPath, script === 'readme.js' ? [script] : ['-e', `
      require('nodesockd').listen((req, res) => res.end('listen ' + process.title), 3000).then(() => console.log('listening'))`],
    { NODESOCKD_SOCKET_PATH: socketPath, NODESOCKD_APP_NAME: 'shop' });
    await until(() => app.output.includes('listening'), () => app.output);
    assert.match((await fetchFrom({ socketPath })).body, /^(readme|listen) shop worker '\?'$/);
    app.kill('SIGKILL');
    await app.ended;
    require('node:fs').rmSync(socketPath);
  }
  const env = { NODESOCKD_WORKER_ID: '0a7a4f50-6f3b-4a86-9d3b-4b9a8f5c31f7', NODESOCKD_SUSPENDED: 'true' };
  const script = `
    const { nodesockd } = require('nodesockd');
    nodesockd.resumed.then(() => console.log(nodesockd.id, nodesockd.shortId, nodesockd.suspended, process.title));`;
  const { output } = await project.spawn(process.execPath, ['-e', script], env).ended;
  assert.equal(output, `${env.NODESOCKD_WORKER_ID} c31f7 true app worker 'c31f7'\n`);
});

test('18: what is too long is refused where it is sent, and a handler that answers too much answers an error', async (t) => {
  const project = new Project(t, 'consumer.js');
  const client = await project.start();
  const [{ errors }] = await client.sendAppRequest('huge');
  assert.match(errors[0], /^a "reply" of \d+ bytes is longer than the 1048576 bytes/);
  await assert.rejects(client.sendAppMessage('huge', 'x'.repeat(2 << 20)), { code: 'ERR_TOO_LONG' });
});

test('18: an answer of any length that a library of 2.x sends becomes an error, and the channel goes on', async (t) => {
  const project = new Project(t, 'raw.js');
  const client = await project.start();
  const ask = async (size) => (await client.sendAppRequest(String(size)))[0];
  assert.equal((await ask(1_000_000)).data.length, 1_000_000);
  for (const size of [1 << 20, 3_000_000, 3_000_000]) {
    assert.deepEqual((await ask(size)).errors, ["the worker's answer is longer than the 1048576 bytes that a message may have"]);
  }
  assert.equal((await ask(5)).data, 'xxxxx');
});

test('18: a request that is too long is refused by its id', async (t) => {
  const project = new Project(t, 'raw.js');
  await project.start();
  const socket = net.connect(project.ipcPath);
  t.after(() => socket.destroy());
  const request = (id, data) => socket.write(`${JSON.stringify({ type: 'send-app-msg', id, data: { message: 'm', data } })}\n`);
  request('long', 'x'.repeat(2 << 20));
  request('short', 'x');
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk) => (text += chunk));
  await until(() => text.split('\n').length > 2, () => text);
  const [long, short] = text.trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual([long.requestId, long.code, long.errors], ['long', 'usage', ['a line of more than 1048576 bytes']]);
  assert.deepEqual([short.requestId, short.done], ['short', true]);
});

test('21: an error in a listener is a warning', async (t) => {
  const worker = new TestWorker(t, 'talk.js');
  worker.tell('app-msg', { message: 'any' });
  await until(() => /rejected by a listener/.test(worker.stderr) && /thrown by a listener/.test(worker.stderr));
  assert.equal((await worker.ask('echo', 1))[0].data.data, 1, 'the worker lives');
});

test("22: the title names the app, the worker's short id, and follows a new name", async (t) => {
  const project = new Project(t, 'consumer.js', { config: 'name: shop' });
  const client = await project.start();
  const [{ id }] = await project.workers(client);
  assert.equal((await client.sendAppRequest('title'))[0].data, `shop worker '${id.slice(-5)}'`);
  require('node:fs').writeFileSync(project.path('nodesockd.yml'), 'script: consumer.js\ntmpDir: tmp\nname: store\n');
  await client.reloadConfig();
  assert.equal((await client.sendAppRequest('title', undefined, id))[0].data, `store worker '${id.slice(-5)}'`);
});

test('8: the middleware is a promise of what comes after it', async () => {
  const { nodesockd } = require('nodesockd');
  assert.equal(await nodesockd.suspendMiddleware({}, {}, () => 'next'), 'next');
  await assert.rejects(nodesockd.suspendMiddleware({}, {}, () => Promise.reject(new Error('later'))), /later/);
  await assert.rejects(nodesockd.suspendMiddleware({}, {}, () => { throw new Error('at once'); }), /at once/);
});

test('arguments that are none are errors, not ignored', async () => {
  const { nodesockd } = require('nodesockd');
  const wrong = (promise) => assert.rejects(async () => promise, TypeError);
  await wrong(nodesockd.sendAppMessage());
  await wrong(nodesockd.sendAppMessage('x', () => {}));
  await wrong(nodesockd.sendAppMessage('x', undefined, 0));
  await wrong(nodesockd.sendAppMessage('x', undefined, ''));
  await wrong(nodesockd.sendAppRequest(5));
  await wrong(nodesockd.sendAppRequest('x', undefined, ['0']));
  await wrong(nodesockd.sendAppRequest('x', undefined, undefined, { timeOut: 5 }));
  await wrong(nodesockd.sendAppRequest('x', undefined, undefined, { timeout: '5' }));
  const listener = () => {};
  await wrong(nodesockd.listen(listener, { upstreamKeepAlive: 5000 }));
  await wrong(nodesockd.listen(listener, 0, { upstreamKeepalive: 5000 }));
  await wrong(nodesockd.listen(listener, true));
  assert.throws(() => nodesockd.on('message'), TypeError);
});
