'use strict';

/**
 * A stream of replies: iterate over it (`for await`, or `next()`), or await it for all of them in an array. Each reply is
 * handed out once, so do one or the other.
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

  /** A stream that fails before the first reply. */
  static failed(error) {
    const replies = new Replies();
    replies.end(error);
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
    return this;
  }

  next() {
    return new Promise((resolve, reject) => this.#read({ resolve, reject }));
  }

  async return(value) {
    this.#stop();
    return { value, done: true };
  }

  async throw(error) {
    this.#stop();
    throw error;
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

  #stop() {
    this.#onStop?.();
    this.#items = [];
    this.#end = {};
    this.end();
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

module.exports = { Replies };
