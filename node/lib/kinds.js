'use strict';

const http = require('node:http');
const tls = require('node:tls');

/** Node exports no classes of them. */
const HTTP2 = ['Http2Server', 'Http2SecureServer'];

/** Whether `server` speaks HTTP/2. */
function isHttp2(server) {
  return HTTP2.includes(server?.constructor?.name);
}

/** Whether `server` speaks TLS. */
function isSecure(server) {
  return server instanceof tls.Server;
}

/** Whether `server` speaks HTTP of any version, over TLS or not. */
function isHttp(server) {
  return server instanceof http.Server || isHttp2(server) || (isSecure(server) && 'headersTimeout' in server);
}

module.exports = { isHttp, isHttp2, isSecure };
