'use strict';

const { EventEmitter } = require('node:events');
const { isMainThread } = require('node:worker_threads');
const { Channel } = require('./channel.js');
const { afterPoll } = require('./drain.js');
const { Gate, refuseRequest } = require('./gate.js');
const { Service, adapt, listening } = require('./listen.js');
const { Exchange, Replies } = require('./protocol.js');
const { Responder } = require('./responder.js');
const { warn } = require('./warn.js');

/** Methods that work without their object: `const { reportOnline } = require('nodesockd')`. */
const BOUND = ['listen', 'on', 'off', 'once', 'reportOnline', 'reportBroken', 'setRequestHandler', 'sendAppMessage', 'sendAppRequest', 'suspendMiddleware'];

/** This process, as a worker of a daemon. Without a daemon, everything is there and nothing happens. */
class Worker extends EventEmitter {
  #channel;
  #exchange;
  #responder = new Responder((frame, callback) => this.#channel.send(frame, callback));
  #suspended;
  #resume;
  #requesting = false;
  #online = false;
  #broken;
  #service;
  #shutDown = false;

  /** @param {NodeJS.ProcessEnv} env where the daemon has left its word */
  constructor(env) {
    super();
    for (const name of BOUND) this[name] = this[name].bind(this);
    const managed = isWorker(env);
    this.id = managed ? env.NODESOCKD_WORKER_ID : undefined;
    this.shortId = this.id?.slice(-5);
    this.socketPath = managed ? env.NODESOCKD_SOCKET_PATH : undefined;
    this.#suspended = managed && env.NODESOCKD_SUSPENDED === 'true';
    this.resumed = new Promise((resolve) => (this.#resume = resolve));
    if (!this.#suspended) this.#resume();
    Object.defineProperty(this, 'gate', { value: new Gate(this.#suspended), enumerable: false });
    if (managed) this.#connect(env);
  }

  /** Whether the worker must not do anything yet. */
  get suspended() {
    return this.#suspended;
  }

  /** Express middleware that holds requests back while the worker is suspended. */
  suspendMiddleware(req, res, next) {
    this.gate.enter(
      () => req.socket?.destroyed || next(),
      () => refuseRequest(req, res),
    );
  }

  /** The whole integration in one call; the types say more. */
  async listen(target, fallback = process.env.PORT || 3000, options = {}) {
    const app = await adapt(target);
    if (!this.#channel) {
      await listening(app.server, fallback);
      return app.server;
    }
    if (this.#service) throw new Error('nodesockd.listen() was called before: a worker has one socket');
    this.#service = new Service(this, app, options);
    await this.#service.start();
    if (this.#shutDown) this.#drain();
    return app.server;
  }

  /** Tells the daemon that the worker listens on its socket. */
  reportOnline() {
    if (!this.#channel || this.#online) return;
    this.#online = true;
    this.#report();
  }

  /** Asks the daemon for a replacement; the worker serves until it is there. */
  reportBroken(reason) {
    if (!this.#channel) return;
    this.#broken = { reason: reason === undefined ? undefined : String(reason) };
    this.#tell('broken', this.#broken);
  }

  /** Sets who answers requests of clients and other workers. */
  setRequestHandler(handler) {
    this.#responder.handler = handler;
  }

  /** Sends a message to workers. */
  sendAppMessage(message, data, workers) {
    if (!this.#channel) return Promise.resolve();
    const sent = this.#exchange.request('send-app-msg', { message, data, workers });
    // An app that does not care whether it arrived does not want to die of it either.
    sent.catch(() => {});
    return sent;
  }

  /** Sends a request to workers. */
  sendAppRequest(request, data, workers) {
    if (!this.#channel) return Replies.empty();
    return this.#exchange.stream('send-app-req', { request, data, workers });
  }

  #connect(env) {
    this.#channel = new Channel(env.NODESOCKD_IPC_PATH, {
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
    this.#setTitle(env.NODESOCKD_APP_NAME);
    this.#hold();
  }

  /** Waiting for an answer, or for being resumed, is a reason to live; being connected is not. */
  #hold() {
    this.#channel.hold(this.#requesting || (this.#suspended && !this.#shutDown));
  }

  /** Tells a daemon what it may have missed. */
  #report() {
    if (this.#online) this.#tell('online', { suspended: this.#suspended || undefined });
    if (this.#broken) this.#tell('broken', this.#broken);
  }

  #tell(type, data) {
    // A report that does not arrive is made again to the next daemon.
    this.#channel.send({ type, data: { id: this.id, pid: process.pid, ...data } }, () => {});
  }

  #receive(frame) {
    const data = frame.data ?? {};
    switch (frame.type) {
      case 'resume':
        return this.#resumeNow(data.fd);
      case 'shutdown':
        return this.#shutDownNow();
      case 'set-name':
        return this.#setTitle(data.name);
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
    this.#hold();
    this.#resume();
    this.gate.open();
  }

  #shutDownNow() {
    if (this.#shutDown) return;
    this.#shutDown = true;
    this.gate.refuse();
    this.#channel.close();
    this.#drain();
    // Node 26 closes a connection on which no request has arrived yet: those that are on their way come first.
    afterPoll(() => this.#dispatch('shutdown'));
  }

  #drain() {
    this.#service?.stop().catch((error) => warn('the application could not be closed', error));
  }

  /** Calls the application's listeners. An error in one is its own. */
  #dispatch(event, ...args) {
    for (const listener of this.rawListeners(event)) {
      const complain = (error) => warn(`a listener for '${event}' failed`, error);
      try {
        Promise.resolve(listener.apply(this, args)).catch(complain);
      } catch (error) {
        complain(error);
      }
    }
  }

  #setTitle(name) {
    if (typeof name === 'string' && name) process.title = `${name}: worker ${this.shortId}`;
  }
}

/**
 * Whether a daemon means us. A thread has no channel of its own: its process is the worker. Processes that a worker starts
 * inherit its environment, but are not the worker: the first to look puts its name on it.
 */
function isWorker(env) {
  if (!isMainThread || !env.NODESOCKD_WORKER_ID) return false;
  env.NODESOCKD_WORKER_PID ??= String(process.pid);
  return env.NODESOCKD_WORKER_PID === String(process.pid);
}

module.exports = { Worker };
