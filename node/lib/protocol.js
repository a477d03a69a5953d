'use strict';

const { randomUUID } = require('node:crypto');

/** What the daemon takes: a longer line ends the connection it came by. Bytes, without the newline. */
const MAX_SENT = 1 << 20;

/** What we take. More than the daemon takes, because it wraps workers' answers before it passes them on. */
const MAX_RECEIVED = 2 << 20;

/** A request that failed, or could not be made. */
class NodesockdError extends Error {
  /**
   * @param {string[]} errors what went wrong, in sentences
   * @param {string} [code] the kind of failure, from the daemon or the operating system
   * @param {unknown} [data] what the daemon says besides
   */
  constructor(errors, code, data) {
    super(errors.join('; '));
    this.name = 'NodesockdError';
    this.errors = errors;
    if (code !== undefined) this.code = code;
    if (data !== undefined) this.data = data;
  }
}

/** `frame` as a line, without its newline. Throws when JSON cannot express it, or when it is too long to be taken. */
function encode(frame) {
  const line = JSON.stringify(frame);
  const size = Buffer.byteLength(line);
  if (size > MAX_SENT) {
    throw new NodesockdError([`a "${frame.type}" of ${size} bytes is longer than the ${MAX_SENT} bytes a message may have`], 'ERR_TOO_LONG');
  }
  return line;
}

/** Splits a stream of bytes into lines, however the bytes are cut. */
class LineDecoder {
  #parts = [];
  #size = 0;

  /** Yields the lines that `chunk` completes. Throws when one is longer than anything we are sent. */
  *push(chunk) {
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      this.#keep(chunk.subarray(start, end));
      const line = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts);
      this.#parts = [];
      this.#size = 0;
      start = end + 1;
      yield line.toString('utf8');
    }
    this.#keep(chunk.subarray(start));
  }

  #keep(part) {
    this.#size += part.length;
    if (this.#size > MAX_RECEIVED) throw new NodesockdError([`a line of more than ${MAX_RECEIVED} bytes`], 'ERR_TOO_LONG');
    if (part.length > 0 || this.#parts.length === 0) this.#parts.push(part);
  }
}

/**
 * A stream of replies: iterate over it (`for await`), or await it for all of them in an array. Each reply is handed out
 * once, so do one or the other.
 */
class Replies {
  #items = [];
  #waiting = [];
  #end;
  #collected;
  #onStop;

  /** @param {() => void} [onStop] called when the reader stops before the end */
  constructor(onStop) {
    this.#onStop = onStop;
  }

  /** A stream without replies. */
  static empty() {
    const replies = new Replies();
    replies.end();
    return replies;
  }

  push(value) {
    const reader = this.#waiting.shift();
    if (reader) reader.resolve({ value, done: false });
    else if (!this.#end) this.#items.push(value);
  }

  end(error) {
    this.#end ??= { error };
    for (const reader of this.#waiting.splice(0)) this.#settle(reader);
  }

  [Symbol.asyncIterator]() {
    return {
      next: () => new Promise((resolve, reject) => this.#read({ resolve, reject })),
      return: async () => {
        this.#onStop?.();
        this.#items = [];
        this.end();
        return { value: undefined, done: true };
      },
    };
  }

  then(onFulfilled, onRejected) {
    this.#collected ??= this.#collect();
    return this.#collected.then(onFulfilled, onRejected);
  }

  catch(onRejected) {
    return this.then(undefined, onRejected);
  }

  finally(onSettled) {
    return this.then().finally(onSettled);
  }

  async #collect() {
    const all = [];
    for await (const reply of this) all.push(reply);
    return all;
  }

  #read(reader) {
    if (this.#items.length > 0) reader.resolve({ value: this.#items.shift(), done: false });
    else if (this.#end) this.#settle(reader);
    else this.#waiting.push(reader);
  }

  /** The error is told once; after it, the stream is over. */
  #settle(reader) {
    const { error } = this.#end;
    this.#end = {};
    if (error) reader.reject(error);
    else reader.resolve({ value: undefined, done: true });
  }
}

/** Requests of ours that wait for their replies, on one connection after the other. */
class Exchange {
  #send;
  #onBusy;
  #pending = new Map();

  /**
   * @param {(frame: object, callback: (error?: Error) => void) => void} send
   * @param {(busy: boolean) => void} onBusy told whether any request is waiting
   */
  constructor(send, onBusy) {
    this.#send = send;
    this.#onBusy = onBusy;
  }

  /** Sends a request; resolves with the `data` of its last reply. `onPart` gets the `data` of the others. */
  request(type, data, onPart = () => {}) {
    return new Promise((resolve, reject) => {
      this.#start(type, data, { part: onPart, done: resolve, fail: reject });
    });
  }

  /** Sends a request that is answered by any number of replies. */
  stream(type, data) {
    const replies = new Replies(() => this.#finish(id));
    const id = this.#start(type, data, {
      part: (part) => replies.push(part),
      done: (part) => {
        if (part !== undefined && part !== null) replies.push(part);
        replies.end();
      },
      fail: (error) => replies.end(error),
    });
    return replies;
  }

  /** Takes a `reply`. One that nobody waits for is ignored. */
  receive({ requestId, data, errors, code, done }) {
    const waiting = this.#pending.get(requestId);
    if (!waiting) return;
    if (Array.isArray(errors) && errors.length > 0) {
      this.#finish(requestId);
      waiting.fail(new NodesockdError(errors.map(String), code, data));
    } else if (done) {
      this.#finish(requestId);
      waiting.done(data);
    } else {
      waiting.part(data);
    }
  }

  /** The connection is gone: nobody will answer. */
  abort(error) {
    for (const [id, waiting] of [...this.#pending]) {
      this.#finish(id);
      waiting.fail(error);
    }
  }

  #start(type, data, waiting) {
    const id = randomUUID();
    const fail = (error) => {
      if (!this.#pending.has(id)) return;
      this.#finish(id);
      waiting.fail(error);
    };
    this.#pending.set(id, waiting);
    this.#onBusy(true);
    this.#send({ type, id, data }, (error) => error && fail(error));
    return id;
  }

  #finish(id) {
    this.#pending.delete(id);
    this.#onBusy(this.#pending.size > 0);
  }
}

module.exports = { Exchange, LineDecoder, NodesockdError, Replies, encode };
