'use strict';

const { shown, wrong } = require('./arguments.js');
const { NodesockdError } = require('./protocol.js');

/** Answers requests with what the application's handlers return. */
class Responder {
  #send;
  #named = new Map();
  #other;

  /** @param {(frame: object, callback: (error?: Error) => void) => void} send */
  constructor(send) {
    this.#send = (frame) => new Promise((resolve) => send(frame, resolve));
  }

  /**
   * Takes a handler: `(name, handler)` for the requests of that name, `(handler)` for those of any other name. `null` takes the
   * handler away again.
   */
  setHandler(...args) {
    const method = 'setRequestHandler()';
    const named = args.length > 1;
    const handler = named ? args[1] : args[0];
    if (named && typeof args[0] !== 'string') throw wrong(method, `the name of the request must be a string, not ${shown(args[0])}`);
    if (args.length > 2) throw wrong(method, `takes a name and a handler, or a handler, got ${args.length} arguments`);
    if (typeof handler !== 'function' && handler !== null) throw wrong(method, `the handler must be a function, not ${shown(handler)}`);
    if (!named) this.#other = handler ?? undefined;
    else if (handler) this.#named.set(args[0], handler);
    else this.#named.delete(args[0]);
  }

  /** Answers one request. Whatever the handler does, there is one last reply. */
  async answer({ id, data }) {
    if (typeof id !== 'string') return;
    try {
      if (typeof data?.request !== 'string') throw new Error('a request without a name');
      const answer = await this.#ask(data.request, data.data);
      if (isStream(answer)) await this.#stream(id, answer);
      else await this.#reply(id, answer);
    } catch (error) {
      await this.#send({ type: 'reply', requestId: id, errors: reasonsOf(error), done: true });
    }
  }

  #ask(request, data) {
    const named = this.#named.get(request);
    if (named) return named(data);
    if (this.#other) return this.#other(request, data);
    throw new Error(`Unhandled application request: ${request}`);
  }

  async #reply(id, data) {
    const failure = await this.#send({ type: 'reply', requestId: id, data: { pid: process.pid, data }, done: true });
    if (failure) throw failure;
  }

  async #stream(id, answers) {
    for await (const data of answers) {
      // Waiting for each to be written keeps a fast source from filling the memory.
      const failure = await this.#send({ type: 'reply', requestId: id, data: { pid: process.pid, data } });
      if (failure) throw failure;
    }
    await this.#send({ type: 'reply', requestId: id, done: true });
  }
}

/** Generators and readable streams; not arrays, strings or maps, which are answers themselves. */
function isStream(answer) {
  if (typeof answer !== 'object' || answer === null) return false;
  return Symbol.asyncIterator in answer || (Symbol.iterator in answer && typeof answer.next === 'function');
}

/** What a handler's error says: one that came from another worker says it in several sentences. */
function reasonsOf(error) {
  return error instanceof NodesockdError ? error.errors : [String(error?.message || error)];
}

module.exports = { Responder };
