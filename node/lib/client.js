'use strict';

const { resolve } = require('node:path');

const { check, checkCount, checkOptions, checkSending, shown, wrong } = require('./arguments.js');
const { Connection } = require('./connection.js');
const { Exchange, TIMES } = require('./exchange.js');
const { NodesockdError } = require('./protocol.js');
const { Replies } = require('./replies.js');
const { startOptions } = require('./start-options.js');

/** The time limits of a client, and of one request to workers. */
const LIMITS = { timeout: 'time', partTimeout: 'time' };

/** Options of a deploy. */
const DEPLOY = {
  release: 'text',
  watch: 'countOrNone',
  health: 'text',
  migrate: 'text',
  revert: 'text',
  migrateTimeout: 'count',
  maxAttempts: 'count',
  batch: 'countOrNone',
  onStep: 'function',
  onProgress: 'function',
};

/** Commands a daemon over its IPC socket. Connects when it has something to say. */
class NodesockdClient {
  #path;
  #times;
  #connection;
  #opened;
  #busy = false;
  #exchange;

  /**
   * @param {string} ipcPath
   * @param {{timeout?: number, partTimeout?: number}} [options]
   */
  constructor(ipcPath, options = {}) {
    if (typeof ipcPath !== 'string' || !ipcPath) throw new TypeError('NodesockdClient needs the path of the IPC socket');
    checkOptions('NodesockdClient', options, LIMITS);
    this.#path = ipcPath;
    this.#times = limits(options, TIMES);
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
    if (fn !== undefined && typeof fn !== 'function') throw wrong('run()', `takes a function or nothing, not ${shown(fn)}`);
    this.#connect();
    await this.#opened;
    if (!fn) return undefined;
    try {
      return await fn(this);
    } finally {
      await this.terminate();
    }
  }

  /** Hangs up. Resolves when all that was said is on its way. The daemon goes on with what it was asked to do. */
  async terminate() {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#exchange.abort(new NodesockdError(['the client was terminated'], 'ERR_CLOSED'));
    await connection?.end();
  }

  getStatus() {
    return this.#ask('status');
  }

  getMetrics() {
    return this.#ask('metrics');
  }

  getConfig() {
    return this.#ask('config');
  }

  async startWorkers(...args) {
    return this.#start('start-workers', startOptions('startWorkers', args));
  }

  async restartWorkers(...args) {
    return this.#start('restart-workers', startOptions('restartWorkers', args));
  }

  async deploy(options = {}) {
    checkOptions('deploy()', options, DEPLOY);
    const { release, onStep, onProgress, ...rest } = options;
    const progress = Boolean(onStep || onProgress) || undefined;
    // The daemon has a working directory of its own.
    const data = { release: release && resolve(release), ...rest, progress };
    return this.#exchange.request('deploy', data, { onPart: (part) => (part?.deploy ? onStep?.(part.deploy) : part?.progress && onProgress?.(part.progress)) });
  }

  async resumeWorkers(...args) {
    checkCount('resumeWorkers()', args, 0);
    return this.#exchange.request('resume-workers');
  }

  async stopWorkers(...args) {
    checkCount('stopWorkers()', args, 0);
    return this.#exchange.request('stop-workers');
  }

  async setWorkerCount(count, ...more) {
    if (count === 0) throw wrong('setWorkerCount()', 'there is at least 1 worker; stopWorkers() ends all of them');
    check('setWorkerCount()', 'count', count, 'count');
    checkCount('setWorkerCount()', [count, ...more], 1);
    return this.#exchange.request('set-worker-count', { count });
  }

  async setStandbyCount(count, ...more) {
    check('setStandbyCount()', 'count', count, 'countOrNone');
    checkCount('setStandbyCount()', [count, ...more], 1);
    return this.#exchange.request('set-standby-count', { count });
  }

  async sendAppMessage(message, data, workers) {
    checkSending('sendAppMessage()', 'message', message, data, workers);
    return this.#ask('send-app-msg', { message, data, workers });
  }

  sendAppRequest(request, data, workers, options = {}) {
    try {
      checkSending('sendAppRequest()', 'request', request, data, workers);
      checkOptions('sendAppRequest()', options, LIMITS);
    } catch (error) {
      return Replies.failed(error);
    }
    return this.#exchange.stream('send-app-req', { request, data, workers }, limits(options, this.#times));
  }

  async reloadConfig(...args) {
    checkCount('reloadConfig()', args, 0);
    return this.#exchange.request('reload');
  }

  async terminateDaemon(...args) {
    checkCount('terminateDaemon()', args, 0);
    const answer = await this.#exchange.request('terminate');
    return answer?.pid;
  }

  /** A request that the daemon answers at once. What it has to work on may take as long as it takes. */
  #ask(type, data) {
    return this.#exchange.request(type, data, { timeout: this.#times.timeout });
  }

  #start(type, { data, onProgress }) {
    return this.#exchange.request(type, data, { onPart: (part) => part?.progress && onProgress?.(part.progress) });
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

/** The time limits that are asked for, and those of `defaults` for the others. */
function limits({ timeout, partTimeout }, defaults) {
  return { timeout: timeout ?? defaults.timeout, partTimeout: partTimeout ?? defaults.partTimeout };
}

module.exports = { NodesockdClient, NodesockdError };
