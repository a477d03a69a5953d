'use strict';

const http = require('node:http');

/** A Koa app. */
module.exports = function adaptKoa(target) {
  if (typeof target?.callback !== 'function') return undefined;
  return { server: http.createServer(target.callback()), close: async () => {} };
};
