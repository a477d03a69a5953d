'use strict';

// Which slot a worker serves, and whether it leads.
const assert = require('node:assert/strict');
const { test } = require('node:test');
const { TestDaemon, TestWorker } = require('./support.js');

/** What the worker believes of itself. */
async function believes(worker) {
  const [{ data }] = await worker.ask('what');
  return data.data;
}

const confirmations = (frames) => frames.filter(({ type }) => type === 'leader').map(({ data }) => [data.leader, data.term]);

/** Whether listeners were told, and what `leader` was then. */
const events = (frames) => frames.filter(({ type }) => type === 'send-app-msg').map(({ data }) => [data.data.leads, data.data.leader]);

test('a worker knows its slot from the start, and a standby when it takes one', async (t) => {
  const worker = new TestWorker(t, 'leads.js', { env: { NODESOCKD_SLOT: '3' } });
  const first = { slot: 3, leader: false, named: [3, false], env: '3' };
  assert.deepEqual(await believes(worker), first);
  const standby = new TestWorker(t, 'leads.js', { env: { NODESOCKD_SLOT: '' } });
  assert.deepEqual(await believes(standby), { leader: false, named: [null, false], env: '' });
  standby.tell('slot', { slot: 0 });
  for (const data of [undefined, {}, { slot: -1 }, { slot: '7' }]) standby.tell('slot', data);
  assert.deepEqual(await believes(standby), { slot: 0, leader: false, named: [0, false], env: '0' });
});

test('a worker leads from one word of the daemon to the next, and confirms both', async (t) => {
  const worker = new TestWorker(t, 'leads.js');
  assert.equal((await worker.frame('online')).data.leader, false);
  worker.tell('leader', { leader: true, term: 5 });
  await worker.frame('leader');
  // Again, and words that are too old, or make no sense.
  worker.tell('leader', { leader: true, term: 6 });
  for (const data of [undefined, {}, { leader: false, term: 5 }, { leader: 1, term: 9 }, { leader: false }]) worker.tell('leader', data);
  assert.equal((await believes(worker)).leader, true);
  worker.tell('leader', { leader: false, term: 7 });
  assert.equal((await believes(worker)).leader, false);
  // The job is not done.
  assert.deepEqual(confirmations(worker.frames), [[true, 5], [true, 6]]);
  worker.tell('app-msg', { message: 'finish' });
  await worker.frame('leader', ({ data }) => !data.leader);
  assert.deepEqual(confirmations(worker.frames).at(-1), [false, 7]);
  assert.deepEqual(events(worker.frames), [[true, true], [false, false]]);
});

test('a word that comes while a job is being finished makes the one before it void', async (t) => {
  const worker = new TestWorker(t, 'leads.js');
  worker.tell('leader', { leader: true, term: 1 });
  worker.tell('leader', { leader: false, term: 2 });
  worker.tell('leader', { leader: true, term: 3 });
  worker.tell('app-msg', { message: 'finish' });
  assert.equal((await believes(worker)).leader, true);
  assert.deepEqual(confirmations(worker.frames), [[true, 1], [true, 3]]);
});

test('a worker that shuts down leads no more, and confirms it when its job is done', async (t) => {
  const worker = new TestWorker(t, 'leads.js');
  worker.tell('leader', { leader: true, term: 1 });
  await worker.frame('leader');
  worker.tell('shutdown');
  worker.tell('leader', { leader: true, term: 2 });
  worker.tell('leader', { leader: false, term: 3 });
  worker.tell('app-msg', { message: 'finish' });
  const { code } = await worker.exited;
  assert.equal(code, 0);
  assert.deepEqual(confirmations(worker.frames), [[true, 1], [false, 3]]);
  assert.deepEqual(events(worker.frames), [[true, true], [false, false]]);
});

test('a worker leads on without a daemon, and says so to the next one', async (t) => {
  const worker = new TestWorker(t, 'leads.js');
  worker.tell('leader', { leader: true, term: 1 });
  await worker.frame('leader');
  worker.process.disconnect();
  const daemon = new TestDaemon(t, worker.ipcPath);
  assert.equal((await daemon.frame('online')).data.leader, true);
  daemon.tell('leader', { leader: false, term: 2 });
  daemon.tell('app-msg', { message: 'finish' });
  const { data } = await daemon.frame('leader');
  assert.deepEqual(data, { id: worker.id, pid: worker.process.pid, leader: false, term: 2 });
});
