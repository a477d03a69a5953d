'use strict';

/**
 * Where requests wait while the worker is suspended: they pass when it is resumed, and are refused when it is shut down
 * instead.
 */
class Gate {
  #state;
  #held = [];
  /** How many waited when it was opened, until somebody has asked for that. */
  #passed = 0;

  /** @param {boolean} closed whether requests have to wait */
  constructor(closed) {
    this.#state = closed ? 'closed' : 'open';
  }

  get isOpen() {
    return this.#state === 'open';
  }

  /** How many requests wait whose sender is still there. */
  get held() {
    return this.#held.filter(({ sender }) => !sender.destroyed).length;
  }

  /** The same; asked for the first time after it was opened, how many waited by then. */
  waited() {
    const passed = this.#passed;
    this.#passed = 0;
    return this.held + passed;
  }

  /** Calls `pass` or `refuse`: at once, or when it is decided. The request has come by `sender`, a socket or a stream. */
  enter(sender, pass, refuse) {
    if (this.#state === 'open') pass();
    else if (this.#state === 'refusing') refuse();
    else this.#held.push({ sender, pass, refuse });
  }

  /** Lets pass what waits and what comes. */
  open() {
    this.#passed = this.held;
    this.#decide('open', 'pass');
  }

  /** Refuses what waits and what comes. A gate that is open stays so. */
  refuse() {
    if (this.#state === 'closed') this.#decide('refusing', 'refuse');
  }

  #decide(state, outcome) {
    this.#state = state;
    // A tick of its own for each: an error of one request's handler goes where it would have gone without the wait.
    for (const waiting of this.#held.splice(0)) process.nextTick(waiting[outcome]);
  }
}

/** Answers a request that the worker has not begun, and never will: whoever sent it may safely send it again. */
function refuseRequest(req, res) {
  const answer = () => {
    if (res.headersSent || res.destroyed) return;
    res.writeHead(503, { 'Connection': 'close', 'Retry-After': '0', 'Content-Length': '0' });
    res.end();
  };
  // To close with a body half read would reset the connection, and the answer might be lost.
  if (req.complete && req.readableEnded) {
    answer();
  } else {
    req.once('end', answer);
    req.resume();
  }
}

/** The same for a connection that has left HTTP behind. */
function refuseUpgrade(socket) {
  socket.end('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n');
}

module.exports = { Gate, refuseRequest, refuseUpgrade };
