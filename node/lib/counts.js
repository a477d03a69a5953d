'use strict';

const diagnostics = require('node:diagnostics_channel');
const v8 = require('node:v8');

/** Upper bounds of buckets, in µs; a last bucket has what is above them. The daemon knows the same (`core/src/metrics.rs`). */
const DURATIONS = [5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000];
const LAGS = [1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000, 30_000_000];

/** Where requests are counted whose client went away before there was a whole answer; before that, classes of status codes. */
const ABORTED = 5;

/** How often the event loop is looked at, in ms. */
const LOOK_EVERY = 100;

/** After how many looks the daemon is told what was counted, if there were requests; and if there were none. */
const LOOKS_WITH_REQUESTS = 10;
const LOOKS_WITHOUT = 100;

/**
 * What this worker counts for the daemon, which serves it as metrics: totals since its start, so that nothing is lost with a message or
 * with a daemon. Nothing is counted until that is wanted.
 */
class Counts {
  #say;
  #timer;
  #looked;
  #looks = 0;
  #changed = false;
  #hurried = false;
  #watched;
  #inFlight = 0;
  #requests = [0, 0, 0, 0, 0, 0];
  #duration = histogram();
  #lag = histogram();

  /** @param {(data: object) => void} say tells the daemon */
  constructor(say) {
    this.#say = say;
  }

  /** Whether it counts. */
  get on() {
    return this.#timer !== undefined;
  }

  /** Counts from now on, or not any more. */
  turn(on) {
    if (on === this.on) return;
    if (on) {
      this.#looked = performance.now();
      this.#timer = setInterval(() => this.#look(), LOOK_EVERY).unref();
      process.on('exit', this.tell);
    } else {
      this.tell();
      clearInterval(this.#timer);
      this.#timer = undefined;
      process.off('exit', this.tell);
    }
  }

  /** A request has come, until `exchange` is closed: a response, or a stream of HTTP/2. */
  begin(exchange) {
    if (!this.on) return;
    const began = performance.now();
    this.#inFlight += 1;
    this.#changed = true;
    exchange.once('close', () => {
      this.#inFlight -= 1;
      this.#changed = true;
      this.#requests[exchange.writableFinished ? classOf(exchange) : ABORTED] += 1;
      observe(this.#duration, DURATIONS, performance.now() - began);
      // An app may cut its channel when its last request is answered.
      if (this.#hurried && this.#inFlight === 0) this.tell();
    });
  }

  /** Counts the requests of HTTP servers that nobody else tells of: those that listen on a unix socket. */
  watchServers() {
    if (this.#watched) return;
    // Nobody else keeps it.
    this.#watched = diagnostics.channel('http.server.request.start');
    this.#watched.subscribe(({ server, response }) => {
      const address = this.on && server.address();
      if (address === null || typeof address === 'string') this.begin(response);
    });
  }

  /** What is counted is told soon from now on: there may be no other time. */
  hurry() {
    this.#hurried = true;
  }

  /** Tells the daemon. */
  tell = () => {
    if (!this.on) return;
    const { used_heap_size: heapUsed, heap_size_limit: heapLimit } = v8.getHeapStatistics();
    this.#changed = false;
    this.#looks = 0;
    this.#say({ requests: this.#requests, duration: this.#duration, lag: this.#lag, inFlight: this.#inFlight, heapUsed, heapLimit });
  };

  #look() {
    const now = performance.now();
    observe(this.#lag, LAGS, Math.max(0, now - this.#looked - LOOK_EVERY));
    this.#looked = now;
    this.#looks += 1;
    const due = this.#changed ? this.#hurried || this.#looks >= LOOKS_WITH_REQUESTS : this.#looks >= LOOKS_WITHOUT;
    if (due) this.tell();
  }
}

function histogram() {
  return { sum: 0, counts: new Array(DURATIONS.length + 1).fill(0) };
}

function observe(histogram, bounds, ms) {
  const value = Math.round(ms * 1000);
  let bucket = 0;
  while (bucket < bounds.length && value > bounds[bucket]) bucket += 1;
  histogram.counts[bucket] += 1;
  histogram.sum += value;
}

/** Which class of status codes an answer belongs to. */
function classOf({ statusCode, sentHeaders }) {
  const status = statusCode ?? sentHeaders?.[':status'] ?? 0;
  return Math.min(Math.max(Math.floor(status / 100), 1), 5) - 1;
}

module.exports = { Counts };
