'use strict';

const http = require('node:http');

/** A request listener, as `http.createServer` takes it; an Express or Connect app is one. */
module.exports = function adaptListener(target) {
  if (typeof target !== 'function') return undefined;
  if (/^class\b/.test(Function.prototype.toString.call(target))) {
    throw new TypeError(`nodesockd.listen() takes an app, not the class ${target.name || 'of one'}: create one with \`new\``);
  }
  // Nothing that answers requests of Node's takes a request alone. No parameters at all may mean `...args`.
  if (target.length === 1) {
    throw new TypeError(
      'nodesockd.listen() takes a request listener, (request, response), not a function of one argument. If it is the `fetch` handler ' +
        "of an app: for Hono, listen(createAdaptorServer(app)) from '@hono/node-server'; for h3, listen(toNodeListener(app)) from 'h3'",
    );
  }
  return { server: http.createServer(target), close: async () => {} };
};
