'use strict';

/** How often WebSockets are told, in ms. */
const TICK = 100;

/** A frame of a server that closes, with code 1012: the service restarts. It may stand between any two frames of the application's. */
const SERVICE_RESTART = Buffer.from([0x88, 0x02, 0x03, 0xf4]);

/**
 * Tells WebSockets that the service restarts, some at a time: whoever is told connects again at once, and thousands who do that in the
 * same moment are a load of their own. Those that the application has closed by then are gone.
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
    const waiting = this.#traffic.webSockets;
    const ticks = Math.max(1, (this.#deadline - performance.now()) / TICK);
    for (const connection of waiting.slice(0, Math.ceil(waiting.length / ticks))) {
      connection.told = true;
      connection.socket.write(SERVICE_RESTART);
    }
  }
}

module.exports = { Farewell };
