'use strict';

// `node --import nodesockd/register server.js`: for programs that know nothing of nodesockd and listen on a port. Their first HTTP
// server that listens on a TCP port is served on the worker's socket instead, as `nodesockd.listen` would do it.
const { refuseRuntime } = require('./adapters/refused.js');
const { identify } = require('./identity.js');
const { Takeover } = require('./takeover.js');

// The process is not claimed yet: a wrapper, `npm` or `tsx` for instance, loads this, too, and the worker is its child.
const { isWorker } = identify(process.env, { claims: false });
if (isWorker) {
  refuseRuntime('nodesockd/register');
  new Takeover(process.env.NODESOCKD_PORT).install();
}
