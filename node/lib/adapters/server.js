'use strict';

const net = require('node:net');

/** Node exports no classes of them. */
const HTTP2 = ['Http2Server', 'Http2SecureServer'];

/** A server of Node's. */
module.exports = function adaptServer(target) {
  if (!(target instanceof net.Server)) return undefined;
  if (HTTP2.includes(target.constructor.name)) {
    throw new TypeError(
      'nodesockd.listen() cannot serve HTTP/2: it would not hold back the requests of a suspended worker, and lose some in a restart. ' +
        'Let nginx speak HTTP/1.1 to the app, or do what listen() does step by step: socketPath, reportOnline(), the event `shutdown`',
    );
  }
  return { server: target, close: async () => {} };
};
