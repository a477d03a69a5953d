'use strict';

// Runtimes that are not Node, as npm brings them.
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { TestWorker } = require('./support.js');

const modules = path.join(__dirname, '../node_modules');

/** The first of these programs that there is: where it lies depends on whether npm runs install scripts. */
function program(...files) {
  const found = files.map((file) => path.join(modules, file)).find((file) => fs.existsSync(file));
  assert.ok(found, `none of ${files.join(', ')}: run npm ci`);
  return found;
}

const arch = process.arch === 'x64' ? ['x64', 'x64'] : ['aarch64', 'arm64'];
const bun = () => program(`@oven/bun-linux-${arch[0]}/bin/bun`, 'bun/bin/bun.exe');
const deno = () => program(`@deno/linux-${arch[1]}-glibc/deno`, 'deno/deno');

for (const [what, nodeArgs, fixture] of [['listen', [], 'http.js'], ['nodesockd/register', ['--preload', 'nodesockd/register'], 'register.js']]) {
  test(`Bun is refused by its name before the worker reports: ${what}`, async (t) => {
    const worker = new TestWorker(t, fixture, { runtime: bun(), nodeArgs, env: { TEST_APP: 'plain', PORT: '3000' } });
    const { code, stderr } = await worker.exited;
    assert.equal(code, 1);
    assert.match(stderr, /does not work under Bun.*Bun\.serve/);
    assert.deepEqual(worker.frames, []);
  });
}

test('under Deno a worker holds requests while suspended, serves, and drains', async (t) => {
  const worker = new TestWorker(t, 'http.js', { runtime: deno(), nodeArgs: ['run', '--allow-all'], suspended: true, env: { HOME: process.env.HOME } });
  await worker.frame('online');
  const held = worker.get();
  const early = await Promise.race([held, worker.ask('a round trip')]);
  assert.ok(Array.isArray(early), 'held');
  worker.tell('resume');
  assert.equal((await held).body, 'GET 0');
  const slow = worker.get('/slow');
  await worker.frame('send-app-msg');
  worker.tell('shutdown');
  await worker.ask('a round trip');
  worker.tell('app-msg', { message: 'finish' });
  const { body, headers } = await slow;
  assert.deepEqual([body, headers.connection], ['slow', 'close']);
  assert.equal((await worker.exited).code, 0);
});
