'use strict';

const net = require('node:net');
const os = require('node:os');
const { refuseCluster } = require('./cluster.js');
const { hideInheritedSockets } = require('./inherited.js');
const { isHttp, isSecure } = require('./kinds.js');
const { warn } = require('./warn.js');

const REGISTER = 'nodesockd/register';

/** Takes the server of an application that listens on a port to the worker's socket, without the application's knowing. */
class Takeover {
  #wanted;
  #listen = net.Server.prototype.listen;
  #taken;
  #said = false;

  /** @param {string | undefined} wanted the port whose server is meant, if not that of the first */
  constructor(wanted) {
    if (!wanted) return;
    this.#wanted = tcpPort([wanted]);
    if (this.#wanted === undefined) throw new Error(`${REGISTER}: NODESOCKD_PORT must be a port from 1 to 65535, not ${JSON.stringify(wanted)}`);
  }

  /** From now on servers that are told to listen are looked at first. */
  install() {
    const [takeover, original] = [this, this.#listen];
    hideInheritedSockets();
    refuseCluster();
    net.Server.prototype.listen = function listen(...args) {
      const port = isHttp(this) ? tcpPort(args) : undefined;
      const served = port !== undefined && takeover.#look(this, port, args);
      return served ? this : original.apply(this, args);
    };
  }

  /** Whether we have seen to it that `server` listens. */
  #look(server, port, args) {
    if (this.#taken?.port === port) listenNowhere(server, args);
    else if (this.#isMeant(server, port)) return this.#take(server, port, args);
    else return this.#leave(port);
    return true;
  }

  /** TLS ends at nginx. A server that speaks it besides is hardly the one that nginx talks to. */
  #isMeant(server, port) {
    if (this.#taken) return false;
    return this.#wanted === undefined ? !isSecure(server) : this.#wanted === port;
  }

  #take(server, port, args) {
    // Only now: the first process that loads it is the worker.
    const nodesockd = require('./index.js');
    const started = nodesockd.serve({ server, close: async () => sayGoodbye(server) });
    // The application has called `nodesockd.listen`.
    if (!started) return false;
    this.#taken = { port };
    pretend(server, args);
    started.catch((error) => {
      // Node emits it, too.
      if (server.listenerCount('error') === 0) process.nextTick(() => { throw error; });
    });
    return true;
  }

  #leave(port) {
    if (this.#said) return false;
    this.#said = true;
    const served = this.#taken?.port ?? this.#wanted;
    const reason = served === undefined ? 'it speaks TLS' : `that on port ${served} is the one that is served`;
    warn(`${REGISTER} leaves the server on port ${port} alone: ${reason}. The variable NODESOCKD_PORT names the port of the server to serve`);
    return false;
  }
}

/** The TCP port that these arguments of `listen` name; undefined for none, and for any that is free. */
function tcpPort([first]) {
  const isOptions = typeof first === 'object' && first !== null;
  if (isOptions && (first.path || first.fd !== undefined || first.handle || first._handle)) return undefined;
  const port = isOptions ? first.port : first;
  if (typeof port !== 'number' && (typeof port !== 'string' || port.trim() === '')) return undefined;
  const number = Number(port);
  return Number.isInteger(number) && number > 0 && number < 65536 ? number : undefined;
}

/** Has `server` do what the application expects of a server that listens where these arguments of `listen` say. */
function pretend(server, args) {
  const port = tcpPort(args);
  const given = typeof args[0] === 'object' ? args[0].host : args[1];
  const host = typeof given === 'string' && given !== '' ? given : '::';
  const address = net.isIP(host) ? host : '127.0.0.1';
  const where = { address, family: `IPv${net.isIP(address)}`, port };
  server.address = () => (server.listening ? { ...where } : null);
  const callback = args.find((arg) => typeof arg === 'function');
  if (callback) server.once('listening', callback);
  args[0]?.signal?.addEventListener('abort', () => server.close(), { once: true });
}

/** For a second address of the port that is taken already, `::1` for instance: nobody comes there. */
function listenNowhere(server, args) {
  let open = true;
  Object.defineProperty(server, 'listening', { get: () => open, configurable: true });
  server.close = function close(callback) {
    const wasOpen = open;
    open = false;
    if (callback) server.once('close', callback);
    if (wasOpen || callback) process.nextTick(() => server.emit('close'));
    return server;
  };
  pretend(server, args);
  process.nextTick(() => server.emit('listening'));
}

/** The last request is over. Whoever knows nothing of us expects SIGTERM, and closes a server that is closed already. */
function sayGoodbye(server) {
  server.close = function close(callback) {
    if (callback) process.nextTick(callback);
    return server;
  };
  // Not a signal: Node does not wait for one that is on its way.
  process.emit('SIGTERM', 'SIGTERM', os.constants.signals.SIGTERM);
}

module.exports = { Takeover };
