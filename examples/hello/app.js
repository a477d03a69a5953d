'use strict';

const http = require('node:http');
// An app of yours writes `require('nodesockd')`; this one runs from the repository, without an install.
const nodesockd = require('../../node');

let requests = 0;

const server = http.createServer((req, res) => {
  requests += 1;
  res.setHeader('Content-Type', 'text/plain; charset=utf-8');
  res.end(`Hello from worker ${nodesockd.shortId ?? '(no daemon)'}, pid ${process.pid}, request ${requests}\n`);
});

// The whole integration. Without a daemon (`node app.js`) it listens on port 3000.
nodesockd.listen(server, 3000);
