'use strict';

const { EventEmitter } = require('node:events');
const { adapt } = require('./adapters/index.js');
const { checkOptions, checkSending } = require('./arguments.js');
const { Channel } = require('./channel.js');
const { Counts } = require('./counts.js');
const { refuseCluster } = require('./cluster.js');
const { afterPoll } = require('./drain.js');
const { Exchange, TIMES } = require('./exchange.js');
const { Gate, refuseRequest } = require('./gate.js');
const { answerPing } = require('./heartbeat.js');
const { hasChannel, identify, showTitle } = require('./identity.js');
const { Leadership } = require('./leadership.js');
const { Service, Standalone, checkListen } = require('./listen.js');
const { NodesockdError } = require('./protocol.js');
const { Replies } = require('./replies.js');
const { Responder } = require('./responder.js');
const { warn } = require('./warn.js');

/** Methods that work without their object: `const { reportOnline } = require('nodesockd')`. */
const BOUND = ['listen', 'on', 'off', 'once', 'run', 'reportOnline', 'reportBroken', 'setRequestHandler', 'sendAppMessage', 'sendAppRequest', 'suspendMiddleware'];

/** This process, as a worker of a daemon. Without a daemon it is *standalone*: everything is there and nothing happens. */
class Worker extends EventEmitter {
  #name;
  #channel;
  #exchange;
  #responder = new Responder((frame, callback) => this.#channel.send(frame, callback));
  #leadership = new Leadership(
    (leads) => {
      this.#tellWatchers();
      return this.#dispatch('leader', leads);
    },
    (data) => this.#tell('leader', data),
  );
  #slot;
  #watchers = [];
  #suspended;
  #resume;
  #requesting = false;
  #online = false;
  #broken;
  #isWorker;
  #listening = false;
  #services = [];
  #shutDown = false;

  /** @param {NodeJS.ProcessEnv} env where the daemon has left its word */
  constructor(env) {
    super();
    // As many as the app likes, as with 2.x: one for each of its WebSockets, say.
    this.setMaxListeners(0);
    for (const name of BOUND) this[name] = this[name].bind(this);
    const identity = identify(env);
    this.id = identity.id;
    this.shortId = this.id?.slice(-5);
    this.socketPath = identity.socketPath;
    this.#name = identity.name;
    this.#slot = identity.slot;
    this.#suspended = identity.suspended;
    this.#isWorker = identity.isWorker;
    const isGiven = identity.isWorker && hasChannel(env);
    const managed = identity.isWorker && (isGiven || identity.ipcPath !== undefined);
    this.resumed = new Promise((resolve) => (this.#resume = resolve));
    // Nobody resumes who has no daemon.
    if (!managed || !this.#suspended) this.#resume();
    Object.defineProperty(this, 'counts', { value: new Counts((data) => this.#tell('counted', data)), enumerable: false });
    Object.defineProperty(this, 'gate', { value: new Gate(managed && this.#suspended), enumerable: false });
    showTitle(this.#name, this.shortId);
    if (!managed) return;
    refuseCluster();
    this.#connect(identity.ipcPath, isGiven);
    this.counts.turn(env.NODESOCKD_COUNT === 'true');
  }

  /** Whether the worker must not do anything yet. */
  get suspended() {
    return this.#suspended;
  }

  /** The number of the slot that it serves; undefined for a standby, and without a daemon. */
  get slot() {
    return this.#slot;
  }

  /** Whether it is the one that leads of all workers of the app. */
  get leader() {
    return this.#leadership.leads;
  }

  /** Calls `callback` when `slot` or `leader` has changed, before any listener. For the exports of `index.mjs`. */
  watch(callback) {
    this.#watchers.push(callback);
  }

  /** There for apps that call it, as some did with 2.x: the worker runs already. */
  async run() {}

  /** Express middleware that holds requests back while the worker is suspended. Resolves with what `next` returns. */
  suspendMiddleware(req, res, next) {
    return new Promise((resolve, reject) => {
      const pass = () => {
        try {
          resolve(req.socket?.destroyed ? undefined : next());
        } catch (error) {
          reject(error);
        }
      };
      const refuse = () => {
        refuseRequest(req, res);
        resolve();
      };
      this.gate.enter(req.socket, pass, refuse);
    });
  }

  /** The whole integration in one call; the types say more. */
  async listen(target, fallback, options = {}) {
    checkListen(fallback, options);
    const app = await adapt(target);
    if (!this.#channel) await this.#start(new Standalone(app, this.#standaloneAddress(fallback)));
    else if (!this.#listening) await this.#start(new Service(this, app, options));
    else throw new Error('nodesockd.listen() was called before, or nodesockd/register has served another server: a worker has one socket');
    return app.server;
  }

  /**
   * Does for a server that is about to listen what `listen` does, at once. For `nodesockd/register`.
   *
   * @returns {Promise<void> | undefined} until it listens; nothing if it cannot be served, because there is no daemon or `listen` was called
   */
  serve(app) {
    return this.#channel && !this.#listening ? this.#start(new Service(this, app, {})) : undefined;
  }

  async #start(service) {
    this.#listening = true;
    await service.start();
    this.#services.push(service);
    if (this.#shutDown) this.#drain();
  }

  /** Tells the daemon that the worker listens on its socket. Resolves when that is said; never rejects. */
  async reportOnline() {
    if (!this.#channel || this.#online) return;
    this.#online = true;
    if (!this.#listening) this.counts.watchServers();
    this.#hold();
    await this.#report();
  }

  /** Asks the daemon for a replacement; the worker serves until it is there. Standalone, nobody can replace it: it shuts down. */
  async reportBroken(reason) {
    if (!this.#channel) {
      this.#shutDownNow();
      return;
    }
    this.#broken = { reason: reason === undefined ? undefined : String(reason?.message ?? reason) };
    await this.#tell('broken', this.#broken);
  }

  /** Sets who answers requests of clients and other workers: those of one name, or those of any other name. */
  setRequestHandler(...args) {
    this.#responder.setHandler(...args);
  }

  /** Sends a message to workers. */
  sendAppMessage(message, data, workers) {
    try {
      checkSending('sendAppMessage()', 'message', message, data, workers);
    } catch (error) {
      return Promise.reject(error);
    }
    if (!this.#channel) return Promise.resolve();
    const sent = this.#exchange.request('send-app-msg', { message, data, workers }, { timeout: TIMES.timeout });
    // An app that does not care whether it arrived does not want to die of it either.
    sent.catch(() => {});
    return sent;
  }

  /** Sends a request to workers. */
  sendAppRequest(request, data, workers, options = {}) {
    try {
      checkSending('sendAppRequest()', 'request', request, data, workers);
      checkOptions('sendAppRequest()', options, { timeout: 'time', partTimeout: 'time' });
    } catch (error) {
      return Replies.failed(error);
    }
    if (!this.#channel) {
      return Replies.failed(new NodesockdError(['Cannot send an app request when worker is running in standalone mode'], 'ERR_STANDALONE'));
    }
    return this.#exchange.stream('send-app-req', { request, data, workers }, options);
  }

  /** As with Node's emitters, but a listener that is there already is not added again, as with 2.x. */
  on(event, listener) {
    return this.rawListeners(event).includes(listener) ? this : super.on(event, listener);
  }

  addListener(event, listener) {
    return this.on(event, listener);
  }

  /** Takes a listener away; without one all of the event, and without an event all. */
  off(event, listener) {
    if (listener !== undefined) return super.off(event, listener);
    return event === undefined ? this.removeAllListeners() : this.removeAllListeners(event);
  }

  /**
   * Where to listen without a daemon: what the environment names, if it was made by hand. That of a worker's threads and child
   * processes names the socket on which the worker itself listens.
   */
  #standaloneAddress(fallback = process.env.PORT || 3000) {
    const inherited = this.id !== undefined && !this.#isWorker;
    return inherited ? fallback : (this.socketPath ?? fallback);
  }

  #connect(ipcPath, isGiven) {
    this.#channel = new Channel(ipcPath, isGiven, {
      frame: (frame) => this.#receive(frame),
      open: () => this.#report(),
      lost: (error) => {
        this.#exchange.abort(error);
        if (!this.#shutDown) warn('lost the daemon; the worker carries on and keeps trying to reach it', error);
      },
    });
    this.#exchange = new Exchange(
      (frame, callback) => this.#channel.send(frame, callback),
      (busy) => {
        this.#requesting = busy;
        this.#hold();
      },
    );
    this.#hold();
  }

  /**
   * A worker lives until it is shut down, whatever else keeps it alive or does not: it may consume a queue, or wait for
   * messages. One without a channel from its daemon has to report first: it may as well be another process that has its environment.
   */
  #hold() {
    this.#channel.hold(this.#requesting || (!this.#shutDown && (this.#channel.isGiven || this.#online)));
  }

  /** Tells a daemon what it may have missed. */
  async #report() {
    await Promise.all([
      this.#online && this.#tell('online', { suspended: this.#suspended || undefined, heartbeat: true, leader: this.leader, counts: this.counts.on }),
      // The daemon may be another one, and knows nothing of what was said to that before.
      this.#online && this.counts.tell(),
      this.#broken && this.#tell('broken', this.#broken),
    ]);
  }

  /** Resolves when it is said, or cannot be: then it is said to the next daemon. */
  #tell(type, data) {
    return new Promise((resolve) => {
      this.#channel.send({ type, data: { id: this.id, pid: process.pid, ...data } }, () => resolve());
    });
  }

  #receive(frame) {
    const data = frame.data ?? {};
    switch (frame.type) {
      case 'resume':
        return this.#resumeNow(data.fd);
      case 'shutdown':
        return this.#shutDownNow();
      case 'ping':
        return answerPing(data, this.gate.waited(), (pong, callback) => this.#channel.send(pong, callback));
      case 'slot':
        return this.#takeSlot(data.slot);
      case 'leader':
        return this.#leadership.hear(data);
      case 'count':
        return this.counts.turn(data.on === true);
      case 'set-name':
        return this.#rename(data.name);
      case 'detach':
        return typeof data.ipcPath === 'string' && this.#channel.detach(data.ipcPath);
      case 'app-msg':
        return typeof data.message === 'string' && this.#dispatch('message', data.message, data.data);
      case 'app-req':
        return this.#responder.answer(frame);
      case 'reply':
        return this.#exchange.receive(frame);
      default:
        return undefined;
    }
  }

  #resumeNow(fd) {
    if (!this.#suspended || this.#shutDown) return;
    if (Number.isInteger(fd)) Object.defineProperty(this, 'servingFd', { value: fd, enumerable: false });
    this.#suspended = false;
    // Nor are the threads and processes that the worker starts from now on.
    process.env.NODESOCKD_SUSPENDED = '';
    this.#resume();
    this.gate.open();
  }

  #shutDownNow() {
    if (this.#shutDown) return;
    this.#shutDown = true;
    this.#leadership.end();
    this.gate.refuse();
    this.counts.hurry();
    if (this.#channel) {
      this.#channel.close();
      this.#hold();
    }
    this.#drain();
    // Node 26 closes a connection on which no request has arrived yet: those that are on their way come first.
    afterPoll(() => this.#dispatch('shutdown'));
  }

  #drain() {
    for (const service of this.#services.splice(0)) {
      service.stop().catch((error) => warn('the application could not be closed', error));
    }
  }

  /**
   * Calls the application's listeners. An error in one is its own.
   *
   * @returns {Promise<void>[]} one for each, until what it does is done; none of them rejects
   */
  #dispatch(event, ...args) {
    return this.rawListeners(event).map(async (listener) => {
      try {
        await listener.apply(this, args);
      } catch (error) {
        warn(`a listener for '${event}' failed`, error);
      }
    });
  }

  #takeSlot(slot) {
    if (!Number.isSafeInteger(slot) || slot < 0) return;
    this.#slot = slot;
    // So do the threads and processes that the worker starts from now on.
    process.env.NODESOCKD_SLOT = String(slot);
    this.#tellWatchers();
  }

  #tellWatchers() {
    for (const callback of this.#watchers) callback();
  }

  #rename(name) {
    if (typeof name !== 'string' || !name) return;
    this.#name = name;
    showTitle(name, this.shortId);
  }
}

module.exports = { Worker };
