'use strict';

/** Answers requests with what the application's handler returns. */
class Responder {
  #send;

  /** The application's: `(request, data) => answer`, a promise of it, or an iterator of answers. */
  handler;

  /** @param {(frame: object, callback: (error?: Error) => void) => void} send */
  constructor(send) {
    this.#send = (frame) => new Promise((resolve) => send(frame, resolve));
  }

  /** Answers one request. Whatever the handler does, there is one last reply. */
  async answer({ id, data }) {
    if (typeof id !== 'string') return;
    try {
      if (typeof data?.request !== 'string') throw new Error('a request without a name');
      if (typeof this.handler !== 'function') throw new Error(`the worker has no handler for requests (asked for "${data.request}")`);
      const answer = await this.handler(data.request, data.data);
      if (isStream(answer)) await this.#stream(id, answer);
      else await this.#reply(id, answer);
    } catch (error) {
      await this.#send({ type: 'reply', requestId: id, errors: [String(error?.message || error)], done: true });
    }
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

module.exports = { Responder };
