'use strict';

const net = require('node:net');
const { Farewell } = require('./farewell.js');
const { warn } = require('./warn.js');

/** How long before SIGTERM we stop waiting for idle connections: enough to close what is left in good order. */
function marginOf(shutdownTimeout) {
  return Math.min(1000, shutdownTimeout / 5);
}

/**
 * Takes a server out of service without losing a request: answers what it has got and what still comes, each answer the
 * last one of its connection, until the connections are gone.
 *
 * nginx keeps idle connections for later requests. One that is closed at the moment it is chosen costs a request, so idle
 * connections are left alone until nginx has given them up; or until SIGTERM is near.
 */
class Drain {
  #server;
  #traffic;
  #keepAlive;
  #shutdownTimeout;
  #deadline;
  #timer;
  #closing = false;
  #accepting = true;

  /**
   * @param {net.Server} server
   * @param {import('./traffic.js').Traffic} traffic of that server
   * @param {{keepAlive: number, shutdownTimeout: number}} times after how long nobody can mean to use an idle connection any more; when
   *   SIGTERM will come; both in ms
   */
  constructor(server, traffic, { keepAlive, shutdownTimeout }) {
    this.#server = server;
    this.#traffic = traffic;
    this.#keepAlive = keepAlive;
    this.#shutdownTimeout = shutdownTimeout;
  }

  /**
   * Resolves when the server is closed and its last connection gone.
   *
   * @param {boolean} shared whether other processes accept from the same socket; then we need not, and leave what is queued to
   *   them
   */
  async run(shared) {
    this.#deadline = performance.now() + this.#shutdownTimeout - marginOf(this.#shutdownTimeout);
    const closed = new Promise((resolve) => this.#server.once('close', resolve));
    // The application may close its server itself; once is enough.
    this.#server.once('close', () => (this.#accepting = false));
    // What has ended by now is not to be complained of, however late this is noticed.
    setTimeout(() => afterPoll(() => this.#complain()), this.#shutdownTimeout - marginOf(this.#shutdownTimeout) / 4).unref();
    this.#traffic.lastAnswers(() => this.#check());
    const farewell = new Farewell(this.#traffic, this.#deadline);
    if (shared) this.#stopAccepting();
    this.#check();
    await closed;
    farewell.stop();
    clearTimeout(this.#timer);
  }

  /** When nothing is left to wait for, in ms of `performance.now()`. */
  get #due() {
    return Math.min(this.#traffic.lastUsed + this.#keepAlive, this.#deadline);
  }

  #check() {
    if (this.#closing) return;
    clearTimeout(this.#timer);
    const wait = this.#due - performance.now();
    if (wait > 0) this.#timer = setTimeout(() => this.#check(), wait).unref();
    else this.#confirm();
  }

  /** Closes, if it is still time after a round of the event loop: connections and requests that are there by now come first. */
  #confirm() {
    this.#closing = true;
    afterPoll(() => {
      this.#closing = this.#due <= performance.now();
      if (this.#closing) this.#close();
      else this.#check();
    });
  }

  #close() {
    this.#stopAccepting();
    this.#traffic.closeIdle();
    this.#traffic.endEvents();
    this.#traffic.endUpgraded();
    setTimeout(() => {
      this.#traffic.closeIdle();
      this.#traffic.destroyUpgraded();
    }, marginOf(this.#shutdownTimeout) / 2).unref();
  }

  /** What http.Server adds to this method is that it cuts idle connections. */
  #stopAccepting() {
    if (!this.#accepting) return;
    this.#accepting = false;
    net.Server.prototype.close.call(this.#server);
  }

  #complain() {
    const { requests, upgraded } = this.#traffic;
    const handles = [...new Set(process.getActiveResourcesInfo())].join(', ') || 'nothing that Node knows of';
    warn(
      `this worker is about to get SIGTERM, ${this.#shutdownTimeout} ms after it was told to shut down: ` +
        `${requests} requests in progress, ${upgraded} upgraded connections; kept alive by ${handles}. ` +
        "Close what you opened when the server emits 'close', or raise options.shutdownTimeout",
    );
  }
}

/** Calls `callback` after the event loop has looked for input once more, from start to end. */
function afterPoll(callback) {
  setImmediate(() => setImmediate(callback));
}

module.exports = { Drain, afterPoll };
