'use strict';

// What frameworks call an app, given to `listen`.
const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const http = require('node:http');
const path = require('node:path');
const { test } = require('node:test');
const { nodesockd } = require('nodesockd');
const { TestWorker } = require('./support.js');

for (const name of ['nest', 'hapi', 'polka', 'polka with its server', 'hono', 'h3']) {
  test(`an app of ${name} holds requests while suspended, serves, and is closed`, async (t) => {
    const worker = new TestWorker(t, 'frameworks.js', { suspended: true, env: { TEST_APP: name } });
    await worker.frame('online');
    const held = worker.get();
    const early = await Promise.race([held, worker.ask('a round trip')]);
    assert.ok(Array.isArray(early), 'held');
    worker.tell('resume');
    assert.equal((await held).body, name);
    worker.tell('shutdown');
    assert.deepEqual(await worker.exited, { code: 0, signal: null, stderr: '' });
    assert.equal(worker.stdout.includes('hook'), ['nest', 'hapi'].includes(name));
  });
}

/** Apps that would report that they are online, and then lose requests or never answer one. */
const REFUSED = [
  ['a fetch handler of Hono', async () => new (await import('hono')).Hono().fetch, /Hono, listen\(createAdaptorServer\(app\)\)/],
  ['a Hono app', async () => new (await import('hono')).Hono(), /looks like a Hono app: listen\(createAdaptorServer/],
  ['an h3 app', async () => (await import('h3')).createApp(), /looks like an h3 app: listen\(toNodeListener/],
  ['another app with a fetch handler', () => ({ fetch: async () => new Response('x') }), /with a `fetch` handler/],
  ['a class', () => class Shop {}, /not the class Shop/],
  ['a server of @grpc/grpc-js', () => new (require('@grpc/grpc-js').Server)(), /looks like a gRPC server .*--import nodesockd\/register/],
  ['nothing that is known', () => ({ use() {} }), /takes a server of HTTP, a request listener .* or an app of Koa, Fastify, Nest, Next, Hapi or Polka\. For a program that only knows a port/],
];

for (const [name, make, message] of REFUSED) {
  test(`${name} is refused, and the way is named`, async () => {
    await assert.rejects(nodesockd.listen(await make(), 0), { name: 'TypeError', message });
  });
}

test('functions that take two arguments, more, or all there are, are listeners', async () => {
  for (const listener of [(req, res) => res.end(), (req, res, next) => next(), (...args) => args[1].end()]) {
    const server = await nodesockd.listen(listener, { port: 0 });
    assert.ok(server instanceof http.Server);
    server.close();
  }
});

test('the types of these apps are those that `listen` takes', () => {
  const tsc = path.join(__dirname, '../node_modules/typescript/bin/tsc');
  execFileSync(process.execPath, [tsc, '--project', path.join(__dirname, 'types/frameworks.json')], { stdio: 'inherit' });
});

test('an app of Next.js is prepared, served by its request handler, and closed', async () => {
  const said = [];
  const app = {
    prepare: async () => said.push('prepared'),
    getRequestHandler: () => (req, res) => res.end(`next ${req.url}`),
    close: async () => said.push('closed'),
  };
  const { adapt } = require('../lib/adapters/index.js');
  const { server, close } = await adapt(app);
  await close();
  assert.deepEqual([server.listening, said], [false, ['prepared', 'closed']]);
});
