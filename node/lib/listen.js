'use strict';

const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const { checkOptions, isPlainObject, shown, wrong } = require('./arguments.js');
const { Drain } = require('./drain.js');
const { handedOnSockets, inheritedSockets } = require('./inherited.js');
const { Traffic } = require('./traffic.js');

/** nginx's default for `keepalive_timeout` of an upstream, in ms. */
const NGINX_KEEP_ALIVE = 60_000;

/**
 * How much later than nginx we give up an idle connection, in ms. nginx looks for requests first and for time-outs then: one that
 * has too little CPU sends requests on connections whose time is long up.
 */
const PATIENCE = 15_000;

/** What Node sets when nobody says otherwise, in ms. */
const NODE_KEEP_ALIVE = 5_000;
const NODE_HEADERS_TIMEOUT = 60_000;

/** The daemon's default for `options.shutdownTimeout`, in ms. */
const SHUTDOWN_TIMEOUT = 10_000;

/**
 * How many connections may wait, if the kernel allows it. Node's default is 511, also for an inherited socket: the daemon's
 * queue would be cut to that.
 */
const BACKLOG = 4096;

/** A server under a daemon, from `listen` to its last connection. */
class Service {
  #worker;
  #app;
  #traffic;
  #drain;
  #stopped = false;
  #inherited = inheritedSockets();

  /**
   * @param {import('./worker.js').Worker} worker
   * @param {{server: net.Server, close(): Promise<void>}} app
   * @param {{upstreamKeepAlive?: number}} options
   */
  constructor(worker, app, { upstreamKeepAlive = NGINX_KEEP_ALIVE }) {
    this.#worker = worker;
    this.#app = app;
    outliveNginx(app.server);
    this.#traffic = new Traffic(app.server, worker.gate, worker.counts);
    const shutdownTimeout = Number(process.env.NODESOCKD_SHUTDOWN_TIMEOUT) || SHUTDOWN_TIMEOUT;
    this.#drain = new Drain(app.server, this.#traffic, { keepAlive: upstreamKeepAlive + PATIENCE, shutdownTimeout });
  }

  /** Listens and reports it. */
  async start() {
    if (!this.#isInherited) this.#inherited = handedOnSockets();
    if (!this.#isInherited) {
      await listening(this.#app.server, this.#worker.socketPath, BACKLOG);
    } else if (this.#worker.suspended) {
      // Connections wait in the kernel, where another worker can still get them if this one is never resumed.
      this.#worker.resumed.then(() => {
        // It may have been told to shut down in the same moment.
        if (this.#stopped) return;
        this.#letGoOfOthers();
        this.#app.server.listen({ fd: this.#fd }, BACKLOG);
      });
    } else {
      await listening(this.#app.server, { fd: this.#fd }, BACKLOG);
    }
    this.#worker.reportOnline();
  }

  get #isInherited() {
    return this.#inherited.length > 0;
  }

  /** The socket to accept from. A spare worker inherits those of all slots, and is told which when it is resumed. */
  get #fd() {
    return this.#worker.servingFd ?? this.#inherited[0];
  }

  /**
   * Closes the sockets of the other slots. Connections to one that is open, and that nobody accepts from any more, would wait
   * instead of failing.
   */
  #letGoOfOthers() {
    for (const fd of this.#inherited) if (fd !== this.#fd) fs.closeSync(fd);
  }

  /** Drains. Resolves when all is closed. */
  async stop() {
    this.#stopped = true;
    await this.#drain.run(this.#isInherited);
    await this.#app.close();
  }
}

/** A server without a daemon. It listens where the app says, and its time-outs are the app's. */
class Standalone {
  #app;
  #where;

  /**
   * @param {{server: net.Server, close(): Promise<void>}} app
   * @param {number | string | net.ListenOptions} where to listen
   */
  constructor(app, where) {
    this.#app = app;
    this.#where = where;
  }

  async start() {
    await listening(this.#app.server, this.#where);
  }

  /** Answers what it has got, then closes. */
  async stop() {
    const { server } = this.#app;
    const closed = once(server, 'close');
    server.close();
    // Node 18 leaves them open.
    server.closeIdleConnections?.();
    await closed;
    await this.#app.close();
  }
}

/** What `listen` takes besides the app. */
const LISTEN_OPTIONS = { upstreamKeepAlive: 'time' };

/** Throws unless these are the arguments of `listen`: under a daemon nobody else looks at the first. */
function checkListen(fallback, options) {
  const method = 'nodesockd.listen()';
  checkOptions(method, options, LISTEN_OPTIONS);
  if (isPlainObject(fallback)) {
    const misplaced = Object.keys(LISTEN_OPTIONS).find((name) => name in fallback);
    if (misplaced) throw wrong(method, `\`${misplaced}\` is an option, the third argument; the second says where to listen without a daemon`);
  } else if (!['undefined', 'number', 'string'].includes(typeof fallback)) {
    throw wrong(method, `where to listen without a daemon must be a port, a path or an object, not ${shown(fallback)}`);
  }
}

/** Resolves when `server` listens, rejects when it cannot. */
function listening(server, where, backlog) {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, backlog, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/**
 * Lets nginx be the one who closes idle connections. Node's default is shorter than nginx's, and a request that nginx sends
 * while Node closes is lost.
 */
function outliveNginx(server) {
  if (server.keepAliveTimeout === NODE_KEEP_ALIVE) server.keepAliveTimeout = NGINX_KEEP_ALIVE + PATIENCE;
  if (server.headersTimeout === NODE_HEADERS_TIMEOUT) {
    server.headersTimeout = Math.max(NODE_HEADERS_TIMEOUT, server.keepAliveTimeout + 1_000);
  }
}

module.exports = { Service, Standalone, checkListen };
