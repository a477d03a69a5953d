'use strict';

const cluster = require('node:cluster');
const { syncBuiltinESMExports } = require('node:module');

const WORDS =
  'node:cluster cannot be used inside a worker of nodesockd: the daemon starts the workers, each of which listens by itself. ' +
  'Start the server in this process, and set `workers` in the configuration to how many there should be ("auto": one a CPU)';

/** Sees to it that an application which wants to fork workers of its own fails at once. It would wait to be online for ever. */
function refuseCluster() {
  if (cluster.isWorker) throw new Error(WORDS);
  cluster.fork = function fork() {
    throw new Error(WORDS);
  };
  // For `import { fork } from 'node:cluster'`.
  syncBuiltinESMExports();
}

module.exports = { refuseCluster };
