'use strict';

const net = require('node:net');

/** A server of Node's. */
module.exports = function adaptServer(target) {
  return target instanceof net.Server ? { server: target, close: async () => {} } : undefined;
};
