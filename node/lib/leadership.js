'use strict';

/**
 * Whether this worker leads. The daemon has one worker lead at a time: it tells the next one when this one has confirmed that it
 * does not any more, or is dead.
 */
class Leadership {
  #dispatch;
  #confirm;
  #leads = false;
  #term = 0;
  #ended = false;
  /** What listeners do that have been called, and that is not done. */
  #busy = new Set();

  /**
   * @param {(leads: boolean) => Promise<void>[]} dispatch calls the application's listeners; what it returns never rejects
   * @param {(data: {leader: boolean, term: number}) => void} confirm tells the daemon
   */
  constructor(dispatch, confirm) {
    this.#dispatch = dispatch;
    this.#confirm = confirm;
  }

  get leads() {
    return this.#leads;
  }

  /** The daemon says who leads. What it said before, and arrives later by another connection, has a lower term. */
  hear({ leader, term }) {
    if (typeof leader !== 'boolean' || !Number.isSafeInteger(term) || term < this.#term) return;
    if (leader && this.#ended) return;
    this.#term = term;
    this.#change(leader);
    if (leader) this.#confirm({ leader, term });
    else this.#confirmEnd(term);
  }

  /** The worker shuts down: it does not lead any more, whether the daemon has said so yet or not. */
  end() {
    this.#ended = true;
    this.#change(false);
  }

  #change(leads) {
    if (leads === this.#leads) return;
    this.#leads = leads;
    for (const done of this.#dispatch(leads)) {
      this.#busy.add(done);
      done.then(() => this.#busy.delete(done));
    }
  }

  /** A job that a listener has begun as the leader is finished first: until then nobody else may begin one. */
  async #confirmEnd(term) {
    while (this.#busy.size > 0) await Promise.all(this.#busy);
    if (term === this.#term) this.#confirm({ leader: false, term });
  }
}

module.exports = { Leadership };
