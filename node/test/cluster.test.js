'use strict';

// node:cluster inside a worker.
const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const path = require('node:path');
const { test } = require('node:test');
const { TestWorker } = require('./support.js');

const WORDS = /Error: node:cluster cannot be used inside a worker of nodesockd: the daemon starts the workers.*`workers`/;

for (const [name, library] of [['the library', 'nodesockd'], ['nodesockd/register', 'nodesockd/register']]) {
  test(`a worker that has loaded ${name} cannot fork with node:cluster, and is told why`, async (t) => {
    const worker = new TestWorker(t, 'clustered.js', { nodeArgs: ['--import', library] });
    const { code, stderr } = await worker.exited;
    assert.equal(code, 1);
    assert.match(stderr, WORDS);
  });
}

test('a process that node:cluster has forked in a worker fails, too, where it alone loads the library', async (t) => {
  const worker = new TestWorker(t, 'clustered.js');
  const { code, stderr } = await worker.exited;
  assert.equal(code, 1);
  assert.match(stderr, WORDS);
});

test('node:cluster works without a daemon', () => {
  const { status, stderr } = spawnSync(process.execPath, ['--import', 'nodesockd/register', path.join(__dirname, 'fixtures/clustered.js')], {
    env: { PATH: process.env.PATH },
    encoding: 'utf8',
  });
  assert.equal(`${stderr}${status}`, '7');
});
