'use strict';

const { Connection } = require('./connection.js');
const { Exchange, NodesockdError } = require('./protocol.js');

/** Commands a daemon over its IPC socket. Connects when it has something to say. */
class NodesockdClient {
  #path;
  #connection;
  #opened;
  #busy = false;
  #exchange;

  /** @param {string} ipcPath */
  constructor(ipcPath) {
    if (typeof ipcPath !== 'string' || !ipcPath) throw new TypeError('NodesockdClient needs the path of the IPC socket');
    this.#path = ipcPath;
    this.#exchange = new Exchange(
      (frame, callback) => this.#connect().send(frame, callback),
      (busy) => {
        this.#busy = busy;
        this.#hold();
      },
    );
  }

  /** Connects; with a function, calls it and hangs up afterwards. */
  async run(fn) {
    this.#connect();
    await this.#opened;
    if (!fn) return undefined;
    try {
      return await fn(this);
    } finally {
      this.terminate();
    }
  }

  /** Hangs up. The daemon goes on with what it was asked to do. */
  terminate() {
    this.#connection?.end();
    this.#connection = undefined;
    this.#exchange.abort(new NodesockdError(['the client was terminated'], 'ERR_CLOSED'));
  }

  getStatus() {
    return this.#exchange.request('status');
  }

  getConfig() {
    return this.#exchange.request('config');
  }

  startWorkers(options) {
    return this.#start('start-workers', options);
  }

  restartWorkers(options) {
    return this.#start('restart-workers', options);
  }

  resumeWorkers() {
    return this.#exchange.request('resume-workers');
  }

  stopWorkers() {
    return this.#exchange.request('stop-workers');
  }

  setWorkerCount(count) {
    return this.#exchange.request('set-worker-count', { count });
  }

  setStandbyCount(count) {
    return this.#exchange.request('set-standby-count', { count });
  }

  sendAppMessage(message, data, workers) {
    return this.#exchange.request('send-app-msg', { message, data, workers });
  }

  sendAppRequest(request, data, workers) {
    return this.#exchange.stream('send-app-req', { request, data, workers });
  }

  reloadConfig() {
    return this.#exchange.request('reload');
  }

  terminateDaemon() {
    return this.#exchange.request('terminate');
  }

  #start(type, { onProgress, ...options } = {}) {
    const data = { ...options, progress: onProgress ? true : undefined };
    return this.#exchange.request(type, data, (part) => part?.progress && onProgress?.(part.progress));
  }

  #connect() {
    if (this.#connection) return this.#connection;
    let connection;
    this.#opened = new Promise((resolve, reject) => {
      connection = new Connection(this.#path, {
        open: () => {
          this.#hold();
          resolve();
        },
        frame: (frame) => frame.type === 'reply' && this.#exchange.receive(frame),
        close: (error) => {
          reject(error);
          if (this.#connection !== connection) return;
          this.#connection = undefined;
          this.#exchange.abort(error);
        },
      });
    });
    // Whoever waits for it hears of its failure; so does every request.
    this.#opened.catch(() => {});
    this.#connection = connection;
    return connection;
  }

  /** An answer to come keeps the process alive; an open connection does not. */
  #hold() {
    if (this.#busy) this.#connection?.ref();
    else this.#connection?.unref();
  }
}

module.exports = { NodesockdClient, NodesockdError };
