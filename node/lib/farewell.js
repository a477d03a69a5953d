'use strict';

/** How often some are told, in ms. */
const TICK = 100;

/** A frame of a server that closes, with code 1012: the service restarts. It may stand between any two frames of the application's. */
const SERVICE_RESTART = Buffer.from([0x88, 0x02, 0x03, 0xf4]);

/**
 * Tells WebSockets that the service restarts, and ends server-sent events, some at a time: whoever is told connects again, and thousands who
 * do that in the same moment are a load of their own. Those that the application has closed by then are gone.
 *
 * Server-sent events may be an answer of some seconds in pieces. One that has not lasted yet for as long as it could still go on may well
 * come to its own end.
 */
class Farewell {
  #traffic;
  #deadline;
  #timer;

  /**
   * @param {import('./traffic.js').Traffic} traffic
   * @param {number} deadline when the last of them has to be told, in ms of `performance.now()`
   */
  constructor(traffic, deadline) {
    this.#traffic = traffic;
    this.#deadline = deadline;
    this.#timer = setInterval(() => this.#tellSome(), TICK).unref();
  }

  stop() {
    clearInterval(this.#timer);
  }

  #tellSome() {
    const left = this.#deadline - performance.now();
    const some = (all) => all.slice(0, Math.ceil(all.length / Math.max(1, left / TICK)));
    for (const connection of some(this.#traffic.webSockets)) {
      connection.told = true;
      connection.socket.write(SERVICE_RESTART);
    }
    for (const end of some(this.#traffic.eventsOlderThan(left))) end();
  }
}

module.exports = { Farewell };
