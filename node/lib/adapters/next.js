'use strict';

const http = require('node:http');

/** An app of Next.js with a server of one's own: what `next()` returns. */
module.exports = async function adaptNext(target) {
  if (typeof target?.getRequestHandler !== 'function' || typeof target.prepare !== 'function') return undefined;
  await target.prepare();
  const handle = target.getRequestHandler();
  return { server: http.createServer((req, res) => handle(req, res)), close: async () => target.close() };
};
