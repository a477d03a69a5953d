'use strict';

// The app that all supervisors run. It gives every request its number back.

const http = require('node:http');
const nodesockd = require('nodesockd');

const worker = nodesockd.id ?? String(process.pid);
const long = process.env.LONG && require('./long.js');

const server = http.createServer(async (req, res) => {
  if (long?.answers(req, res)) return;
  let body = '';
  for await (const chunk of req) body += chunk;
  const number = req.method === 'POST' ? body : req.url.slice(1);
  const text = JSON.stringify({ number, worker, suspended: nodesockd.suspended });
  res.setHeader('Content-Length', text.length);
  res.end(text);
});
long?.accept(server);

if (process.env.INTEGRATION === 'by hand') {
  server.listen(nodesockd.socketPath, () => nodesockd.reportOnline());
  nodesockd.on('shutdown', () => server.close(() => process.exit()));
} else if (nodesockd.id) {
  nodesockd.listen(server, undefined, { upstreamKeepAlive: Number(process.env.UPSTREAM_KEEP_ALIVE) });
} else {
  // As PM2's documentation has it, but for a keep-alive time-out longer than nginx's: let it not lose for that.
  const close = () => server.close(() => process.exit());
  process.on('SIGINT', close);
  process.on('message', (message) => message === 'close' && close());
  server.keepAliveTimeout = 75_000;
  server.listen(process.env.PORT, () => process.send?.('ready'));
}
