'use strict';

// Programs that only know a port, behind a real nginx that keeps connections: nothing is lost in restarts.
const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');
const { Load, Site, poster } = require('./site.js');

const RESTARTS = 3;

for (const [name, config] of [['plain', ''], ['fastify', 'options.listen = "daemon"'], ['hono', 'standby = 1\noptions.listen = "daemon"']]) {
  test(`a program on ${name} that only knows a port loses nothing in restarts${config && `, with ${config.replace('\n', ', ')}`}`, async (t) => {
    const site = new Site(t, path.join(__dirname, 'fixtures/register.js'), {
      config,
      nodeArgs: ['--import', 'nodesockd/register'],
      env: { TEST_APP: name, PORT: '3000' },
    });
    await site.start();
    const load = new Load(t, 4, () => poster(site));
    await load.flows();
    for (let restart = 0; restart < RESTARTS; restart += 1) {
      await site.client.restartWorkers();
      await load.flows();
    }
    await load.end();
    assert.deepEqual(load.lost.slice(0, 5), [], site.said);
  });
}
