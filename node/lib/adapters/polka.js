'use strict';

const http = require('node:http');
const net = require('node:net');

/** A Polka app. One that was given a server does not listen to it before it is told to listen itself. */
module.exports = function adaptPolka(target) {
  if (typeof target?.handler !== 'function' || target.handler.length < 2) return undefined;
  const server = target.server instanceof net.Server ? target.server : http.createServer();
  server.on('request', (req, res) => target.handler(req, res));
  return { server, close: async () => {} };
};
