'use strict';

/** The first descriptor that is passed in by systemd's convention: sd_listen_fds(3). */
const FIRST = 3;

/** Where they are noted once the variables are gone. Two copies of the package in one process have to agree. */
const NOTED = Symbol.for('nodesockd.inherited.3');

/** The descriptors of the listening sockets that the daemon has passed us. Others inherit the variables, so it must be us who is meant. */
function inheritedSockets({ LISTEN_FDS, LISTEN_PID } = process.env) {
  if (globalThis[NOTED]) return globalThis[NOTED];
  const count = Number(LISTEN_PID) === process.pid ? Number(LISTEN_FDS) || 0 : 0;
  return Array.from({ length: count }, (_, index) => FIRST + index);
}

/** Keeps the application from finding the sockets: it would listen on one by itself, or refuse to start with more than one. */
function hideInheritedSockets() {
  const sockets = inheritedSockets();
  if (sockets.length === 0) return;
  globalThis[NOTED] = sockets;
  delete process.env.LISTEN_FDS;
  delete process.env.LISTEN_PID;
}

module.exports = { hideInheritedSockets, inheritedSockets };
