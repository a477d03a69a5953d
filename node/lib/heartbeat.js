'use strict';

const inspector = loadInspector();

/**
 * Answers a `ping` of the daemon. It comes from the event loop, as a request would: a loop that does not turn does not answer.
 *
 * @param {unknown} data of the `ping`: its number
 * @param {number} held how many requests wait until the worker is resumed, or waited when it was
 * @param {(frame: object, callback: (error?: Error) => void) => void} send
 */
function answerPing(data, held, send) {
  const seq = data?.seq;
  if (!Number.isSafeInteger(seq)) return;
  // Whoever debugs stops the loop for as long as it takes: such a worker is not judged.
  const inspected = inspector?.url() !== undefined || undefined;
  // The daemon that asked may be gone: the next one asks for itself.
  send({ type: 'pong', data: { seq, inspected, held: held || undefined } }, () => {});
}

/** Node can be built without it. */
function loadInspector() {
  try {
    return require('node:inspector');
  } catch {
    return undefined;
  }
}

module.exports = { answerPing };
