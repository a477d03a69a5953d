// The quick start of 2.x's README.
import { nodesockd } from 'nodesockd';
import * as http from 'http';
import express = require('express');

const app = express();

// register routes etc.
app.use(nodesockd.suspendMiddleware);
app.get('/', (req, res) => {
  res.send(`typed ${process.title}`);
});

const server: http.Server = app.listen(nodesockd.socketPath ?? 1234, async () => {
  // tell Nodesockd that the worker is ready to start serving requests:
  await nodesockd.reportOnline();
});

nodesockd.on('shutdown', () => {
  // when Nodesockd tells the worker to shut down:
  server.close();
});
