'use strict';

/** Notices that something has not come in time. Keeps no process alive: whoever waits sees to that. */
class Deadline {
  #expire;
  #timer;
  #check;

  /** @param {(ms: number) => void} expire called with the time that is over */
  constructor(expire) {
    this.#expire = expire;
  }

  /** From now on `ms` remain; 0 and Infinity mean that there is no hurry. */
  start(ms) {
    this.stop();
    if (!ms || ms === Infinity) return;
    this.#timer = setTimeout(() => {
      // A process that was busy for longer than that may have got the answer, and not read it yet.
      this.#check = setImmediate(() => {
        this.#check = setImmediate(() => this.#expire(ms));
      });
    }, ms).unref();
  }

  stop() {
    clearTimeout(this.#timer);
    clearImmediate(this.#check);
  }
}

module.exports = { Deadline };
