'use strict';

const net = require('node:net');

/** A Nest application, on Express or on Fastify. */
module.exports = async function adaptNest(target) {
  if (typeof target?.getHttpServer !== 'function') return undefined;
  await target.init();
  // Fastify has to be told that there are no more routes; Express has no such method.
  await target.getHttpAdapter?.().getInstance?.()?.ready?.();
  const server = target.getHttpServer();
  if (!(server instanceof net.Server)) throw new TypeError('nodesockd.listen() takes a Nest app that serves HTTP; this one has no server of Node');
  return { server, close: async () => target.close() };
};
