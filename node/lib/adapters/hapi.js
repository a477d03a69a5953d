'use strict';

const net = require('node:net');

/** A Hapi server. */
module.exports = async function adaptHapi(target) {
  if (!(target?.listener instanceof net.Server) || typeof target.initialize !== 'function') return undefined;
  await target.initialize();
  return { server: target.listener, close: async () => target.stop() };
};
