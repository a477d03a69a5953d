'use strict';

/** Says on stderr what went wrong where nobody can be thrown at; never ends the process. */
function warn(message, error) {
  const detail = error === undefined ? undefined : String(error?.stack ?? error);
  process.emitWarning(`nodesockd: ${message}`, { type: 'NodesockdWarning', detail });
}

module.exports = { warn };
