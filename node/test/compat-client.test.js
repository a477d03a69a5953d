'use strict';

// Scripts and deploy tools written for the client library of 2.x. The numbers are those of the table in docs/08-from-2.x.md.
const assert = require('node:assert/strict');
const { once } = require('node:events');
const { test } = require('node:test');
const { NodesockdClient, NodesockdError } = require('nodesockd/client');
const { Project } = require('./project.js');
const { TestDaemon, until } = require('./support.js');

/** The states of the workers in slots. */
const states = async (project, client) => (await project.workers(client)).filter(({ idx }) => idx !== undefined).map(({ state }) => state);

test('2: `restartWorkers(true)` and `startWorkers(true, 2)` are suspended', async (t) => {
  const project = new Project(t, 'consumer.js', { config: 'workers: 2' });
  const client = await project.start();
  assert.equal((await client.restartWorkers(true)).pid, project.daemon.pid);
  assert.deepEqual(await states(project, client), ['suspended', 'suspended']);
  await client.resumeWorkers();
  assert.deepEqual(await states(project, client), ['online', 'online']);
  await client.stopWorkers();
  await client.startWorkers(true, 2);
  assert.deepEqual(await states(project, client), ['suspended', 'suspended']);
  await client.restartWorkers(false);
  assert.deepEqual(await states(project, client), ['online', 'online']);
  await client.restartWorkers({ suspended: true });
  assert.deepEqual(await states(project, client), ['suspended', 'suspended']);
  await client.restartWorkers(undefined, undefined, true);
  assert.deepEqual(await states(project, client), ['online', 'online']);
});

/** A client whose daemon answers everything, and the frames that it has got. */
async function answered(t) {
  const project = new Project(t, 'consumer.js');
  const daemon = new TestDaemon(t, project.ipcPath, (frame, reply) => reply({ type: 'reply', requestId: frame.id, data: { pid: 5 }, done: true }));
  await daemon.listening;
  const client = new NodesockdClient(project.ipcPath);
  return { project, daemon, client };
}

test('2: every argument arrives, by its place or by its name', async (t) => {
  const { daemon, client } = await answered(t);
  const { version } = require('nodesockd/package.json');
  const calls = [
    ['startWorkers', [], {}],
    ['startWorkers', [undefined], {}],
    ['startWorkers', [false, 3], { suspended: false, maxAttempts: 3 }],
    ['startWorkers', [{ maxAttempts: 3, wait: true }], { maxAttempts: 3, wait: true }],
    ['restartWorkers', [true], { suspended: true }],
    ['restartWorkers', [undefined, 2], { maxAttempts: 2 }],
    ['restartWorkers', [true, undefined, true], { suspended: true, version }],
    ['restartWorkers', [true, 4, false], { suspended: true, maxAttempts: 4 }],
    ['restartWorkers', [Object.assign(Object.create(null), { upgrade: true })], { version }],
    ['restartWorkers', [{ upgrade: true, version: '3.9.0' }], { version: '3.9.0' }],
  ];
  for (const [method, args] of calls) await client[method](...args);
  assert.deepEqual(daemon.frames.map(({ data }) => data), calls.map(([, , data]) => data));
});

test('2 and 26: a wrong argument is an error, and nothing is sent', async (t) => {
  const { daemon, client } = await answered(t);
  const calls = [
    ['startWorkers', null],
    ['startWorkers', 'true'],
    ['startWorkers', true, '2'],
    ['startWorkers', true, 0],
    ['startWorkers', true, 2, true],
    ['startWorkers', { suspend: true }],
    ['startWorkers', { upgrade: true }],
    ['restartWorkers', 1],
    ['restartWorkers', []],
    ['restartWorkers', [true]],
    ['restartWorkers', () => {}],
    ['restartWorkers', Promise.resolve({ suspended: true })],
    ['restartWorkers', new Map()],
    ['restartWorkers', true, 1, 'yes'],
    ['restartWorkers', true, 1, true, 1],
    ['restartWorkers', { suspended: true }, 2],
    ['restartWorkers', { suspended: 'yes' }],
    ['restartWorkers', { maxAttempts: 1.5 }],
    ['restartWorkers', { version: 3 }],
    ['restartWorkers', { onProgress: true }],
    ['resumeWorkers', '0-2'],
    ['stopWorkers', '1'],
    ['reloadConfig', 'other.yml'],
    ['terminateDaemon', true],
    ['setWorkerCount'],
    ['setWorkerCount', 0],
    ['setWorkerCount', '4'],
    ['setWorkerCount', 2, true],
    ['setStandbyCount', -1],
    ['setStandbyCount', NaN],
    ['sendAppMessage'],
    ['sendAppMessage', 'x', Symbol('x')],
    ['sendAppMessage', 'x', undefined, ''],
    ['sendAppMessage', 'x', undefined, null],
    ['sendAppRequest', undefined],
    ['sendAppRequest', 'x', () => {}],
    ['sendAppRequest', 'x', undefined, 1],
    ['sendAppRequest', 'x', undefined, '0', 5],
    ['sendAppRequest', 'x', undefined, '0', { timeout: -1 }],
    ['run', 5],
  ];
  for (const [method, ...args] of calls) {
    await assert.rejects(async () => client[method](...args), { name: 'TypeError', message: new RegExp(`^${method}\\(\\): `) }, `${method} ${args.map(String)}`);
  }
  assert.deepEqual(daemon.frames, []);
  await assert.rejects(client.setWorkerCount(0), /at least 1 worker; stopWorkers\(\) ends all of them/);
  assert.throws(() => new NodesockdClient('/x', 5), TypeError);
  assert.throws(() => new NodesockdClient('/x', { timeOut: 5 }), /unknown option `timeOut`; there are timeout, partTimeout/);
});

test('10 and 11: `terminateDaemon` gives the pid, `terminate` a promise', async (t) => {
  const project = new Project(t, 'consumer.js');
  const client = await project.start();
  const hungUp = await client.terminateDaemon().then((pid) => {
    assert.equal(pid, project.daemon.pid);
    return client.terminate().then(() => 'hung up');
  });
  assert.equal(hungUp, 'hung up');
  assert.equal((await project.daemon.ended).code, 0);
});

test('11: what was said before `terminate` arrives', async (t) => {
  const { project, daemon } = await answered(t);
  const script = `
    const { NodesockdClient } = require('nodesockd/client');
    const client = new NodesockdClient(${JSON.stringify(project.ipcPath)});
    client.sendAppMessage('last words').catch((error) => console.log(error.code));
    client.terminate().then(() => console.log('hung up'));`;
  assert.deepEqual(await project.node('-e', script).ended, { code: 0, signal: null, output: 'ERR_CLOSED\nhung up\n' });
  await daemon.frame('send-app-msg', ({ data }) => data.message === 'last words');
  const nobody = new NodesockdClient(project.path('none.ipc'));
  nobody.getStatus().catch(() => {});
  await nobody.terminate();
  await nobody.terminate();
});

test('7: an empty selector means nobody by mistake, and is refused', async (t) => {
  const project = new Project(t, 'consumer.js');
  const client = await project.start();
  await assert.rejects(client.sendAppMessage('drop-all', undefined, ''), TypeError);
  const { code, output } = await project.cli('send-msg', '-w', '', 'drop-all');
  assert.equal(code, 2, output);
  const asked = await project.cli('send-req', '-w', '', 'heard');
  assert.equal(asked.code, 2, asked.output);
  assert.deepEqual((await client.sendAppRequest('heard')).map(({ data }) => data), [[]]);
});

test('17: a handler that does not answer costs 30 s, one that stops between two parts 10 s, unless you say otherwise', async (t) => {
  const project = new Project(t, 'consumer.js');
  const client = await project.start();
  // The time limits under test are over at once, others take their time.
  const script = `
    const real = setTimeout;
    let limit;
    globalThis.setTimeout = (fn, ms, ...rest) => real(fn, ms === limit ? 1 : ms, ...rest);
    const { NodesockdClient } = require('nodesockd/client');
    const client = new NodesockdClient(${JSON.stringify(project.ipcPath)});
    (async () => {
      for (const request of ['hangs', 'hangs-later']) {
        limit = request === 'hangs' ? 30000 : 10000;
        const parts = [];
        try {
          for await (const { data } of client.sendAppRequest(request)) parts.push(data);
        } catch ({ message, code }) {
          console.log(parts.length, message, code);
        }
      }
    })();`;
  const { output } = await project.node('-e', script).ended;
  assert.deepEqual(output.trim().split('\n'), ['0 no answer to "hangs" within 30000 ms ERR_TIMED_OUT', '1 no answer to "hangs-later" within 10000 ms ERR_TIMED_OUT']);
  await assert.rejects(async () => client.sendAppRequest('hangs', undefined, undefined, { timeout: 20 }), { code: 'ERR_TIMED_OUT', message: /within 20 ms/ });
  const replies = client.sendAppRequest('hangs-later', undefined, undefined, { timeout: 0, partTimeout: 20 });
  assert.equal((await replies.next()).value.data, 'one');
  await assert.rejects(replies.next(), { code: 'ERR_TIMED_OUT' });
  assert.equal((await replies.next()).done, true);
  const hasty = new NodesockdClient(project.ipcPath, { timeout: 20 });
  await assert.rejects(async () => hasty.sendAppRequest('hangs'), { code: 'ERR_TIMED_OUT' });
  const unlimited = new NodesockdClient(project.ipcPath, { timeout: 0, partTimeout: Infinity });
  assert.deepEqual((await unlimited.sendAppRequest('parts', { name: 'part' })).length, 2);
});

test('17: a daemon that hangs costs 30 s for what it should know at once; what it works on takes as long as it takes', async (t) => {
  const project = new Project(t, 'consumer.js');
  const daemon = new TestDaemon(t, project.ipcPath);
  await daemon.listening;
  const client = new NodesockdClient(project.ipcPath, { timeout: 20 });
  const working = client.restartWorkers();
  for (const question of [client.getStatus(), client.getConfig(), client.sendAppMessage('x')]) await assert.rejects(question, { code: 'ERR_TIMED_OUT' });
  const frame = await daemon.frame('restart-workers');
  for (const socket of daemon.sockets) socket.write(`${JSON.stringify({ type: 'reply', requestId: frame.id, data: { pid: 7 }, done: true })}\n`);
  assert.deepEqual(await working, { pid: 7 });
});

test('17: an answer that came in time counts, however late it is read', async (t) => {
  const { project } = await answered(t);
  const script = `
    const { NodesockdClient } = require('nodesockd/client');
    const client = new NodesockdClient(${JSON.stringify(project.ipcPath)}, { timeout: 50 });
    client.run(async () => {
      const status = client.getStatus();
      setTimeout(() => { for (const end = Date.now() + 300; Date.now() < end;); }, 0);
      console.log(await status);
    });`;
  assert.equal((await project.node('-e', script).ended).output, '{ pid: 5 }\n');
});

test('8: replies can be read one by one, as from any iterator', async (t) => {
  const project = new Project(t, 'consumer.js', { config: 'workers: 2' });
  const client = await project.start();
  const replies = client.sendAppRequest('title');
  assert.equal(replies[Symbol.asyncIterator](), replies);
  const first = await replies.next();
  assert.deepEqual([first.done, typeof first.value.id, typeof first.value.pid], [false, 'string', 'number']);
  assert.equal((await replies.next()).done, false);
  assert.deepEqual(await replies.next(), { value: undefined, done: true });
  const left = client.sendAppRequest('title');
  assert.deepEqual(await left.return('enough'), { value: 'enough', done: true });
  assert.deepEqual(await left.next(), { value: undefined, done: true });
  await assert.rejects(client.sendAppRequest('title').throw(new Error('mine')), /mine/);
});

test('20: errors say what went wrong, and carry a code', async (t) => {
  const project = new Project(t, 'consumer.js');
  const nobody = new NodesockdClient(project.ipcPath);
  await assert.rejects(nobody.run(), (error) => {
    assert.ok(error instanceof NodesockdError && error instanceof Error);
    assert.deepEqual([error.name, error.code, error.errors.length], ['NodesockdError', 'ENOENT', 1]);
    return error.message === error.errors[0];
  });
  const client = await project.start();
  await assert.rejects(client.sendAppMessage('x', undefined, 'nonsense'), { name: 'NodesockdError', code: 'usage', message: /`nonsense` is not a worker selector/ });
});

test('23: a script that forgets to hang up ends', async (t) => {
  const { project } = await answered(t);
  const script = `
    const { NodesockdClient } = require('nodesockd/client');
    const client = new NodesockdClient(${JSON.stringify(project.ipcPath)});
    client.run().then(() => client.getStatus()).then(console.log);`;
  assert.deepEqual(await project.node('-e', script).ended, { code: 0, signal: null, output: '{ pid: 5 }\n' });
});

test('24 and 25: stopped workers can be resumed, which does nothing, and a message to nobody is refused', async (t) => {
  const project = new Project(t, 'consumer.js');
  const client = await project.start();
  await assert.rejects(client.sendAppMessage('x', undefined, '77'), { message: 'no worker is `77`' });
  await assert.rejects(async () => client.sendAppRequest('x', undefined, '77'), { message: 'no worker is `77`' });
  await client.stopWorkers();
  await client.resumeWorkers();
  await assert.rejects(client.sendAppMessage('x'), { message: 'no worker serves' });
});

test('26: no workers at all is refused, and the refusal says what to use', async (t) => {
  const project = new Project(t, 'consumer.js');
  const client = await project.start();
  const { code, output } = await project.cli('set-workers', '0');
  assert.equal(code, 2);
  assert.match(output, /`nodesockd stop` stops all workers/);
  assert.deepEqual(await states(project, client), ['online']);
});

test('12: the configuration has absolute paths', async (t) => {
  const project = new Project(t, 'consumer.js');
  const client = await project.start();
  const { config, files } = await client.getConfig();
  assert.deepEqual(files, [project.path('nodesockd.yml')]);
  assert.equal(config.script, project.path('consumer.js'));
  assert.equal(config.ipcFile, project.ipcPath);
  assert.equal(config.socketFile, project.path('tmp/app.{worker}.sock'));
});
