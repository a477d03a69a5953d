'use strict';

const { Worker } = require('./worker.js');

// One process is one worker, even if the package is installed twice: two would answer every request twice.
const nodesockd = (globalThis[Symbol.for('nodesockd.worker.3')] ??= new Worker(process.env));

// What compilers make of `import { nodesockd }`, `import nodesockd` and `import * as`, and 2.x's `const { nodesockd } = require()`.
for (const [name, value] of Object.entries({ nodesockd, default: nodesockd, __esModule: true })) {
  Object.defineProperty(nodesockd, name, { value, configurable: true });
}

module.exports = nodesockd;
