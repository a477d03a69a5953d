'use strict';

const { refuse, refuseRuntime } = require('./refused.js');

/**
 * How to find the server in what an application calls its app, the most certain first. Each takes the app and returns, or promises,
 * its server and how to close the rest of it; or undefined if the app is of another kind.
 */
const ADAPTERS = [
  require('./server.js'),
  require('./listener.js'),
  require('./nest.js'),
  require('./hapi.js'),
  require('./next.js'),
  require('./koa.js'),
  require('./polka.js'),
  require('./fastify.js'),
];

/**
 * Finds the server in what an application may call its server.
 *
 * @param {unknown} target
 * @returns {Promise<{server: import('node:net').Server, close(): Promise<void>}>} the server, which is not listening yet, and how to close
 *   what else the application has opened, once the server is closed
 * @throws TypeError for what is none, and for what would not be served right; it says what to do instead
 */
async function adapt(target) {
  refuseRuntime('nodesockd.listen()');
  for (const adapter of ADAPTERS) {
    const app = await adapter(target);
    if (app) return app;
  }
  return refuse(target);
}

module.exports = { adapt };
