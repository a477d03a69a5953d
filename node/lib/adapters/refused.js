'use strict';

/** Apps of frameworks whose server has to be made by a function of theirs: how they look, and that function. */
const OTHERS = [
  {
    fits: ({ fetch, routes }) => typeof fetch === 'function' && Array.isArray(routes),
    words: "this looks like a Hono app: listen(createAdaptorServer(app)), with createAdaptorServer from '@hono/node-server'",
  },
  {
    fits: ({ handler, stack, fetch }) => typeof handler === 'function' && (Array.isArray(stack) || typeof fetch === 'function'),
    words: "this looks like an h3 app: listen(toNodeListener(app)), with toNodeListener from 'h3'",
  },
  {
    fits: ({ bindAsync, tryShutdown }) => typeof bindAsync === 'function' && typeof tryShutdown === 'function',
    words: 'this looks like a gRPC server of @grpc/grpc-js, which makes its own server of HTTP/2: bind it to a port, and run the program with --import nodesockd/register',
  },
  {
    fits: ({ httpServer, tap }) => typeof httpServer === 'function' && typeof tap === 'function',
    words: 'this looks like the Ignitor of AdonisJS, which makes its own server: run bin/server.js with --import nodesockd/register',
  },
  {
    fits: ({ fetch }) => typeof fetch === 'function',
    words: 'this looks like an app with a `fetch` handler: pass what its framework makes of it for Node, a server or a request listener',
  },
];

/** Throws what explains that `target` is none of what `listen` takes. */
function refuse(target) {
  const takes = 'nodesockd.listen() takes a server of HTTP, a request listener (an Express app is one), or an app of Koa, Fastify, Nest, Next, Hapi or Polka';
  const other = typeof target === 'object' && target !== null && OTHERS.find(({ fits }) => fits(target));
  throw new TypeError(other ? `${takes}; ${other.words}` : `${takes}. For a program that only knows a port, there is --import nodesockd/register`);
}

/**
 * Throws where Node's servers are not Node's: their workers would die when they are retired, or report that they are online and
 * answer nobody.
 *
 * @param {string} what cannot be done there
 */
function refuseRuntime(what) {
  if (!process.versions.bun) return;
  throw new Error(
    `${what} does not work under Bun, whose http.Server cannot be drained. Do what it does step by step: ` +
      'Bun.serve({ unix: nodesockd.socketPath }), nodesockd.reportOnline(), and server.stop() on the event `shutdown`',
  );
}

module.exports = { refuse, refuseRuntime };
