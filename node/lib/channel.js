'use strict';

const { Connection } = require('./connection.js');
const { NodesockdError, encode } = require('./protocol.js');

/** How long to wait before the next attempt to reach a daemon, in ms: doubled from the first to the last. */
const FIRST_DELAY = 50;
const LAST_DELAY = 1000;

/** A connection that lasted this long, in ms, was no failure: the next attempt starts afresh. */
const LASTED = 5000;

/**
 * A worker's line to its daemon, whichever daemon that is: Node's own channel from the daemon that started the worker, and,
 * when that is gone or asks for it, a connection to the IPC socket, made again whenever it breaks.
 *
 * It does not keep the process alive unless it is held.
 */
class Channel {
  #path;
  #on;
  #parent;
  #connection;
  #dialling;
  #timer;
  #delay = FIRST_DELAY;
  #held = false;
  #closed = false;

  /** Whether the process got a channel from the daemon that started it, if that is still there or not. */
  isGiven;

  /**
   * @param {string | undefined} path of the IPC socket
   * @param {boolean} isGiven whether Node's channel leads to the daemon
   * @param {{frame(frame: object): void, open(): void, lost(error: Error): void}} on `open` is called when another daemon than
   *   the first is reached, `lost` when the line is cut
   */
  constructor(path, isGiven, on) {
    this.#path = path;
    this.isGiven = isGiven;
    this.#on = on;
    if (isGiven) this.#adoptParent();
    else this.#dial();
  }

  /** Sends a frame; `callback` gets the error if that cannot be done. */
  send(frame, callback) {
    if (this.#connection) {
      this.#connection.send(frame, callback);
    } else if (this.#parent && process.connected) {
      this.#sendToParent(frame, callback);
    } else {
      callback(new NodesockdError(['the daemon is not there; the worker keeps trying to reach it'], 'ERR_NOT_CONNECTED'));
    }
  }

  /** Whether the line keeps the process alive. */
  hold(held) {
    this.#held = held;
    for (const handle of [this.#parent && process.channel, this.#connection, this.#dialling, this.#timer]) this.#apply(handle);
  }

  /** The daemon is about to leave: find its successor at `path`. */
  detach(path) {
    this.#path = path;
    this.#dial();
  }

  /** No further attempts to reach a daemon. What is connected stays so. */
  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #adoptParent() {
    this.#parent = true;
    process.on('message', (frame) => this.#take(frame));
    process.once('disconnect', () => {
      this.#parent = false;
      if (this.#connection || this.#dialling || this.#timer) return;
      this.#on.lost(new NodesockdError(['the daemon closed the channel'], 'ERR_CLOSED'));
      this.#dial();
    });
    // A listener for messages makes Node wait for them for ever.
    this.#apply(process.channel);
  }

  #sendToParent(frame, callback) {
    try {
      encode(frame);
      // Without a callback, a channel that has just been closed is an uncaught error.
      process.send(frame, undefined, undefined, (error) => callback(error ?? undefined));
    } catch (error) {
      callback(error);
    }
  }

  #dial() {
    if (this.#closed || this.#connection || this.#dialling || !this.#path) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    let opened;
    const connection = new Connection(this.#path, {
      open: () => {
        opened = performance.now();
        this.#dialling = undefined;
        this.#connection = connection;
        this.#on.open();
      },
      frame: (frame) => this.#take(frame),
      close: (error) => {
        this.#dialling = undefined;
        this.#connection = undefined;
        if (opened !== undefined) this.#on.lost(error);
        if (opened !== undefined && performance.now() - opened > LASTED) this.#delay = FIRST_DELAY;
        this.#retry();
      },
    });
    this.#dialling = connection;
    this.#apply(connection);
  }

  #retry() {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#dial();
    }, this.#delay);
    this.#apply(this.#timer);
    this.#delay = Math.min(this.#delay * 2, LAST_DELAY);
  }

  #take(frame) {
    if (typeof frame === 'object' && frame !== null && typeof frame.type === 'string') this.#on.frame(frame);
  }

  #apply(handle) {
    if (!handle) return;
    if (this.#held) handle.ref();
    else handle.unref();
  }
}

module.exports = { Channel };
