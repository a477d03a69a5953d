'use strict';

const net = require('node:net');
const { LineDecoder, NodesockdError, encode } = require('./protocol.js');

/** A connection to a daemon's IPC socket: frames out, frames in. */
class Connection {
  #socket;
  #path;
  #failure;

  /**
   * @param {string} path of the socket
   * @param {{open(): void, frame(frame: object): void, close(error: Error): void}} on `close` is called once, whether the
   *   connection came about or not, with the reason
   */
  constructor(path, on) {
    this.#path = path;
    this.#socket = net.connect(path);
    this.#socket.on('connect', () => on.open());
    this.#socket.on('error', (error) => (this.#failure ??= this.#explain(error)));
    this.#socket.on('close', () => on.close(this.#failure ?? this.#lost()));
    const decoder = new LineDecoder();
    this.#socket.on('data', (chunk) => {
      try {
        for (const line of decoder.push(chunk)) {
          if (this.#socket.destroyed) return;
          on.frame(this.#parse(line));
        }
      } catch (error) {
        this.#socket.destroy(error);
      }
    });
  }

  /** Sends a frame; `callback` gets the error if that cannot be done. */
  send(frame, callback) {
    let line;
    try {
      line = encode(frame);
    } catch (error) {
      callback(error);
      return;
    }
    this.#socket.write(`${line}\n`, (error) => callback(error ? (this.#failure ?? this.#explain(error)) : undefined));
  }

  /** Says goodbye, and does not wait for an answer. Resolves when all is sent, or cannot be. */
  end() {
    this.#failure ??= new NodesockdError([`the connection to ${this.#path} was ended`], 'ERR_CLOSED');
    return new Promise((resolve) => {
      const ended = () => {
        this.#socket.unref();
        resolve();
      };
      // Whoever awaits this wants the process to live until then.
      this.#socket.ref();
      this.#socket.once('close', ended);
      this.#socket.end(ended);
    });
  }

  ref() {
    this.#socket.ref();
  }

  unref() {
    this.#socket.unref();
  }

  #parse(line) {
    let frame;
    try {
      frame = JSON.parse(line);
    } catch {
      frame = undefined;
    }
    if (typeof frame === 'object' && frame !== null) return frame;
    throw new NodesockdError([`what listens on ${this.#path} does not speak the protocol of nodesockd`], 'ERR_PROTOCOL');
  }

  #explain(error) {
    if (error instanceof NodesockdError) return error;
    const nobody = error.code === 'ENOENT' || error.code === 'ECONNREFUSED';
    const reason = nobody ? `no daemon listens on ${this.#path}; is it running?` : `the connection to ${this.#path} failed`;
    return new NodesockdError([`${reason} (${error.message})`], error.code);
  }

  #lost() {
    return new NodesockdError([`the daemon closed the connection to ${this.#path}`], 'ERR_CLOSED');
  }
}

module.exports = { Connection };
