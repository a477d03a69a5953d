'use strict';

const fs = require('node:fs');
const { isMainThread } = require('node:worker_threads');

/**
 * Who the environment says that we are.
 *
 * @param {NodeJS.ProcessEnv} env
 * @param {{claims?: boolean}} options whether this process puts its name on the worker, if nobody has yet
 * @returns {{id?: string, name: string, slot?: number, socketPath?: string, ipcPath?: string, suspended: boolean, isWorker: boolean}} `isWorker`: whether a
 *   daemon means this process and thread, and not one that a worker has started
 */
function identify(env, { claims = true } = {}) {
  const id = env.NODESOCKD_WORKER_ID || undefined;
  return {
    id,
    name: env.NODESOCKD_APP_NAME || 'app',
    slot: /^\d+$/.test(env.NODESOCKD_SLOT ?? '') ? Number(env.NODESOCKD_SLOT) : undefined,
    socketPath: env.NODESOCKD_SOCKET_PATH || undefined,
    ipcPath: env.NODESOCKD_IPC_PATH || undefined,
    suspended: env.NODESOCKD_SUSPENDED === 'true',
    isWorker: id !== undefined && isMainThread && isOurs(env, claims),
  };
}

/** Processes that a worker starts inherit its environment: the first that looks is the worker, and puts its name on it. */
function isOurs(env, claims) {
  const name = String(process.pid);
  if (claims) env.NODESOCKD_WORKER_PID ??= name;
  return (env.NODESOCKD_WORKER_PID ?? name) === name;
}

/**
 * Whether Node's channel leads to the daemon. A wrapper that has started us, `tsx` for instance, may have given us a channel of its own,
 * which has another number than the one that the daemon has told. Node itself removes the number from `process.env`.
 */
function hasChannel({ NODESOCKD_CHANNEL_FD: told }) {
  if (!process.connected) return false;
  try {
    const [, number] = /(?:^|\0)NODE_CHANNEL_FD=(\d+)/.exec(fs.readFileSync('/proc/self/environ', 'latin1')) ?? [];
    return told === undefined || number === undefined || number === told;
  } catch {
    return true;
  }
}

/** Shows the process as `NAME worker 'ID5'`, as 2.x does. A thread has no title of its own. */
function showTitle(name, shortId = '?') {
  if (isMainThread) process.title = `${name} worker '${shortId}'`;
}

module.exports = { hasChannel, identify, showTitle };
