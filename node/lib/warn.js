'use strict';

/**
 * Says on stderr what went wrong where nobody can be thrown at. Never ends the process, even if nobody reads stderr any
 * more: it may have led to the daemon's service manager, and have been closed when the daemon died.
 */
function warn(message, error) {
  const detail = error === undefined ? undefined : String(error?.stack ?? error);
  if (process.stderr.listenerCount('error') === 0) process.stderr.on('error', () => {});
  process.emitWarning(`nodesockd: ${message}`, { type: 'NodesockdWarning', detail });
}

module.exports = { warn };
