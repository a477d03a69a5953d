import nodesockd from './index.js';

export default nodesockd;
export { nodesockd };

export const {
  id,
  shortId,
  socketPath,
  resumed,
  suspendMiddleware,
  listen,
  on,
  once,
  off,
  run,
  reportOnline,
  reportBroken,
  setRequestHandler,
  sendAppMessage,
  sendAppRequest,
} = nodesockd;

export let { suspended, slot, leader } = nodesockd;
resumed.then(() => (suspended = nodesockd.suspended));
nodesockd.watch(() => ({ slot, leader } = nodesockd));
