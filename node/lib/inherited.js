'use strict';

const fs = require('node:fs');

/** The first descriptor that is passed in by systemd's convention: sd_listen_fds(3). */
const FIRST = 3;

/** Linux's flag of a socket that listens (`__SO_ACCEPTCON`). */
const ACCEPTS = 0x10000;

/** Where they are noted once the variables are gone. Two copies of the package in one process have to agree. */
const NOTED = Symbol.for('nodesockd.inherited.3');

/** The descriptors of the listening sockets that the daemon has passed us. Others inherit the variables, so it must be us who is meant. */
function inheritedSockets({ LISTEN_FDS, LISTEN_PID } = process.env) {
  if (globalThis[NOTED]) return globalThis[NOTED];
  const count = Number(LISTEN_PID) === process.pid ? Number(LISTEN_FDS) || 0 : 0;
  return Array.from({ length: count }, (_, index) => FIRST + index);
}

/**
 * The same for a worker whose own process is a wrapper: the sockets are meant for that, and a shell hands them on. So it must be the kernel
 * who says that these descriptors are listening sockets.
 *
 * @throws {Error} if they were not handed on: nobody else can listen where the daemon does
 */
function handedOnSockets({ LISTEN_FDS, LISTEN_PID } = process.env) {
  const sockets = Array.from({ length: Number(LISTEN_FDS) || 0 }, (_, index) => FIRST + index);
  if (sockets.every(isListening)) return sockets;
  throw new Error(
    `the daemon keeps the socket (options.listen = "daemon") and has given it to process ${LISTEN_PID}, which has started this one without it: ` +
      'let the configuration name the program itself instead of what starts it, or set options.listen = "worker"',
  );
}

/** Whether a descriptor is a unix socket that listens: /proc/net/unix has its flags before its inode number, proc_net_unix(5). */
function isListening(fd) {
  try {
    const [, inode] = /^socket:\[(\d+)\]$/.exec(fs.readlinkSync(`/proc/self/fd/${fd}`)) ?? [];
    const sockets = fs.readFileSync('/proc/net/unix', 'utf8').split('\n').map((line) => line.trim().split(/\s+/));
    return sockets.some(([, , , flags, , , its]) => its === inode && (Number.parseInt(flags, 16) & ACCEPTS) !== 0);
  } catch {
    return false;
  }
}

/** Keeps the application from finding the sockets: it would listen on one by itself, or refuse to start with more than one. */
function hideInheritedSockets() {
  const sockets = inheritedSockets();
  if (sockets.length === 0) return;
  globalThis[NOTED] = sockets;
  delete process.env.LISTEN_FDS;
  delete process.env.LISTEN_PID;
}

module.exports = { handedOnSockets, hideInheritedSockets, inheritedSockets };
