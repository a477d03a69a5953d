'use strict';

const http = require('node:http');
const { setTimeout: sleep } = require('node:timers/promises');
const nodesockd = require('nodesockd');

const server = http.createServer(async (req, res) => {
  // Something that takes its time, to be restarted or stopped meanwhile: `curl localhost:8080/slow`.
  if (req.url === '/slow') await sleep(3000);
  res.setHeader('Content-Type', 'text/plain; charset=utf-8');
  res.end(`Hello from worker ${nodesockd.shortId ?? '(no daemon)'} in ${process.env.HOSTNAME}\n`);
});

nodesockd.listen(server, 3000);
