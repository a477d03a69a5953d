'use strict';

const { isMainThread } = require('node:worker_threads');

/**
 * Who the environment says that we are.
 *
 * @param {NodeJS.ProcessEnv} env
 * @returns {{id?: string, name: string, socketPath?: string, ipcPath?: string, suspended: boolean, isWorker: boolean}} `isWorker`: whether a
 *   daemon means this process and thread, and not one that a worker has started
 */
function identify(env) {
  const id = env.NODESOCKD_WORKER_ID || undefined;
  return {
    id,
    name: env.NODESOCKD_APP_NAME || 'app',
    socketPath: env.NODESOCKD_SOCKET_PATH || undefined,
    ipcPath: env.NODESOCKD_IPC_PATH || undefined,
    suspended: env.NODESOCKD_SUSPENDED === 'true',
    isWorker: id !== undefined && isMainThread && claim(env),
  };
}

/** Processes that a worker starts inherit its environment: the first that looks is the worker, and puts its name on it. */
function claim(env) {
  env.NODESOCKD_WORKER_PID ??= String(process.pid);
  return env.NODESOCKD_WORKER_PID === String(process.pid);
}

/** Shows the process as `NAME worker 'ID5'`, as 2.x does. A thread has no title of its own. */
function showTitle(name, shortId = '?') {
  if (isMainThread) process.title = `${name} worker '${shortId}'`;
}

module.exports = { identify, showTitle };
