'use strict';

const net = require('node:net');

/** A Fastify instance, or anything else that has its server in a property of that name. */
module.exports = async function adaptFastify(target) {
  if (!(target?.server instanceof net.Server)) return undefined;
  await target.ready?.();
  return { server: target.server, close: async () => target.close?.() };
};
