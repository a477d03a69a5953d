'use strict';

const { Worker } = require('./worker.js');

// One process is one worker, even if the package is installed twice: two would answer every request twice.
module.exports = globalThis[Symbol.for('nodesockd.worker.3')] ??= new Worker(process.env);
