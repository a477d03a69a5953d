'use strict';

const { randomUUID } = require('node:crypto');
const { Deadline } = require('./deadline.js');
const { NodesockdError } = require('./protocol.js');
const { Replies } = require('./replies.js');

/** How long a request may take to its first reply, and between the parts of a stream, if nobody says otherwise; in ms. As with 2.x. */
const TIMES = { timeout: 30_000, partTimeout: 10_000 };

/** Requests of ours that wait for their replies, on one connection after the other. */
class Exchange {
  #send;
  #onBusy;
  #pending = new Map();

  /**
   * @param {(frame: object, callback: (error?: Error) => void) => void} send
   * @param {(busy: boolean) => void} onBusy told whether any request is waiting
   */
  constructor(send, onBusy) {
    this.#send = send;
    this.#onBusy = onBusy;
  }

  /**
   * Sends a request; resolves with the `data` of its last reply.
   *
   * @param {string} type
   * @param {unknown} [data]
   * @param {{timeout?: number, onPart?: (data: unknown) => void}} [options] how long it may take, in ms (0, the default: as long as it
   *   takes), and who gets the `data` of the other replies
   */
  request(type, data, { timeout = 0, onPart = () => {} } = {}) {
    return new Promise((resolve, reject) => {
      this.#start(type, data, { timeout, part: onPart, done: resolve, fail: reject });
    });
  }

  /**
   * Sends a request that is answered by any number of replies.
   *
   * @param {string} type
   * @param {{request: string}} data
   * @param {{timeout?: number, partTimeout?: number}} [options] how long it may take to the first reply, and from one to the next; in
   *   ms, 0 for no limit
   */
  stream(type, data, { timeout = TIMES.timeout, partTimeout = TIMES.partTimeout } = {}) {
    const replies = new Replies(() => this.#finish(id));
    const id = this.#start(type, data, {
      timeout,
      partTimeout,
      part: (part) => replies.push(part),
      done: (part) => {
        if (part !== undefined && part !== null) replies.push(part);
        replies.end();
      },
      fail: (error) => replies.end(error),
    });
    return replies;
  }

  /** Takes a `reply`. One that nobody waits for is ignored. */
  receive({ requestId, data, errors, code, done }) {
    const waiting = this.#pending.get(requestId);
    if (!waiting) return;
    if (Array.isArray(errors) && errors.length > 0) {
      this.#finish(requestId);
      waiting.fail(new NodesockdError(errors.map(String), code, data));
    } else if (done) {
      this.#finish(requestId);
      waiting.done(data);
    } else {
      waiting.deadline.start(waiting.partTimeout);
      waiting.part(data);
    }
  }

  /** The connection is gone: nobody will answer. */
  abort(error) {
    for (const [id, waiting] of [...this.#pending]) {
      this.#finish(id);
      waiting.fail(error);
    }
  }

  #start(type, data, waiting) {
    const id = randomUUID();
    const fail = (error) => {
      if (!this.#pending.has(id)) return;
      this.#finish(id);
      waiting.fail(error);
    };
    const name = data?.request ?? type;
    waiting.deadline = new Deadline((ms) => fail(new NodesockdError([`no answer to "${name}" within ${ms} ms`], 'ERR_TIMED_OUT')));
    waiting.deadline.start(waiting.timeout);
    this.#pending.set(id, waiting);
    this.#onBusy(true);
    this.#send({ type, id, data }, (error) => error && fail(error));
    return id;
  }

  #finish(id) {
    this.#pending.get(id)?.deadline.stop();
    this.#pending.delete(id);
    this.#onBusy(this.#pending.size > 0);
  }
}

module.exports = { Exchange, TIMES };
