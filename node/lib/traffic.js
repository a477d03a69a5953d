'use strict';

const tls = require('node:tls');
const { refuseRequest, refuseUpgrade } = require('./gate.js');
const { isHttp2 } = require('./kinds.js');
const { isAnswering, keep, lastStreams, leave, refuseStream } = require('./streams.js');

const ignore = () => {};

/**
 * The connections and requests of a server, from its first to its last. Requests pass a gate before the application sees
 * them.
 */
class Traffic {
  /**
   * What each open connection is doing: requests in progress, whether it has left HTTP, when it was last used, and its session if it
   * speaks HTTP/2.
   */
  #connections = new Map();
  /** Those in progress, oldest first: since when, in ms of `performance.now()`, and what was asked. */
  #responses = new Map();
  #streams = new Map();
  #newest;
  #last = false;
  #onChange = ignore;
  #counts;

  /** Starts to watch `server`, which must not be listening yet. */
  constructor(server, gate, counts) {
    this.#counts = counts;
    const connected = server instanceof tls.Server ? 'secureConnection' : 'connection';
    const { emit } = server;
    const speaksHttp2 = isHttp2(server);
    // Not listeners: those could not hold an event back, and a listener for `checkContinue` changes what Node does.
    server.emit = (event, ...args) => {
      const pass = () => emit.call(server, event, ...args);
      switch (event) {
        case connected:
          this.#connected(args[0]);
          return pass();
        case 'session':
          if (speaksHttp2) this.#opened(gate, args[0]);
          return pass();
        case 'request':
        case 'checkContinue':
        case 'checkExpectation':
          // One of HTTP/2 has come as a stream before.
          return args[0].httpVersionMajor === 2 ? pass() : this.#requested(gate, pass, event, ...args);
        case 'upgrade':
        case 'connect':
          return args[0].httpVersionMajor === 2 ? pass() : this.#upgraded(gate, pass, ...args);
        // What a request waits here is not its client's time.
        case 'timeout':
          return this.#holds(gate, args[0]) || pass();
        case 'clientError':
          return (args[0]?.code === 'ERR_HTTP_REQUEST_TIMEOUT' && this.#holds(gate, args[1])) || pass();
        default:
          return pass();
      }
    };
  }

  /** How many requests are in progress. */
  get requests() {
    return this.#responses.size + this.#streams.size;
  }

  /** How many connections have left HTTP behind, for WebSocket for instance. */
  get upgraded() {
    return [...this.#connections.values()].filter((connection) => connection.upgraded).length;
  }

  /** The WebSockets that are open, and have not been told that the worker goes. */
  get webSockets() {
    return [...this.#connections.values()].filter(isUntold);
  }

  /**
   * Server-sent events whose reader connects again by itself, and that have been under way for `ms` at least, oldest first: calling one ends
   * it.
   */
  eventsOlderThan(ms) {
    const before = performance.now() - ms;
    const isOld = ([, { since, asked }]) => since <= before && isEventSource(asked);
    const responses = [...this.#responses].filter(isOld).filter(([response]) => sendsEvents(response));
    const streams = [...this.#streams].filter(isOld).filter(([stream]) => streamsEvents(stream));
    return [...responses.map(([response]) => () => endResponse(response)), ...streams.map(([stream]) => () => endStream(stream))];
  }

  /** How many connections are open. */
  get open() {
    return this.#connections.size;
  }

  /** When the last idle connection was last used; `Infinity` while one is in use. Milliseconds of `performance.now()`. */
  get lastUsed() {
    let last = -Infinity;
    for (const { active, upgraded, used } of this.#connections.values()) {
      last = Math.max(last, active > 0 || upgraded ? Infinity : used);
    }
    return last;
  }

  /** From now on every answer is the last one of its connection. `onChange` is called whenever a connection ends or falls idle. */
  lastAnswers(onChange) {
    this.#last = true;
    this.#onChange = onChange;
    for (const [response, { asked }] of this.#responses) makeLast(asked, response);
    for (const [stream, { connection }] of this.#streams) lastStreams(connection, stream);
    for (const connection of this.#connections.values()) if (connection.session && connection.active === 0) lastStreams(connection);
  }

  /** Closes the connections that nobody is using. */
  closeIdle() {
    for (const [socket, { active, upgraded, session }] of this.#connections) {
      if (active > 0 || upgraded) continue;
      if (session) session.close();
      else socket.destroy();
    }
  }

  /**
   * Ends the answers that never end by themselves, server-sent events: after a whole event, and in a way that the browser takes for an
   * end, so that it connects again. An end of any other answer would pass off a part as the whole.
   */
  endEvents() {
    for (const response of this.#responses.keys()) if (sendsEvents(response)) endResponse(response);
    for (const stream of this.#streams.keys()) if (streamsEvents(stream)) endStream(stream);
  }

  /** Ends the connections that have left HTTP behind, after what was written to them. */
  endUpgraded() {
    for (const [socket, { upgraded }] of this.#connections) if (upgraded) socket.end();
  }

  /** Cuts them. */
  destroyUpgraded() {
    for (const [socket, { upgraded }] of this.#connections) if (upgraded) socket.destroy();
  }

  #connected(socket) {
    this.#newest = { socket, active: 0, upgraded: false, used: performance.now() };
    this.#connections.set(socket, this.#newest);
    socket.once('close', () => {
      this.#connections.delete(socket);
      this.#onChange();
    });
  }

  /** A session of HTTP/2: its connection has just come. */
  #opened(gate, session) {
    const connection = this.#newest;
    connection.session = session;
    const { emit } = session;
    // Not the server's event: an application may listen for that of the session.
    session.emit = (event, ...args) => {
      const pass = () => emit.call(session, event, ...args);
      return event === 'stream' ? this.#streamed(gate, pass, connection, ...args) : pass();
    };
  }

  #streamed(gate, pass, connection, stream, headers) {
    // Whoever sent it has gone already.
    if (stream.destroyed) return true;
    this.#begin(connection, this.#streams, stream, { method: headers[':method'], headers });
    if (this.#last) lastStreams(connection, stream);
    if (gate.isOpen) return pass();
    const handOver = keep(stream);
    gate.enter(
      stream,
      () => stream.destroyed || handOver(pass),
      () => handOver(() => refuseStream(stream)),
    );
    return true;
  }

  /** One more request is in progress, until `exchange` is closed: what was asked has a method and headers. */
  #begin(connection, exchanges, exchange, asked) {
    exchanges.set(exchange, { since: performance.now(), asked, connection });
    this.#counts.begin(exchange);
    if (connection) connection.active += 1;
    exchange.once('close', () => {
      exchanges.delete(exchange);
      if (!connection) return;
      connection.active -= 1;
      connection.used = performance.now();
      if (this.#last && connection.session) this.#left(connection);
      this.#onChange();
    });
  }

  /** One stream less is in progress on a session, while the worker drains. */
  #left(connection) {
    lastStreams(connection);
    leave(connection);
  }

  /** Whether a request is held back that has come by `socket`. */
  #holds(gate, socket) {
    return !gate.isOpen && this.#connections.get(socket)?.active > 0;
  }

  #requested(gate, pass, event, req, res) {
    // An application that has got `checkContinue` makes a `request` of it.
    if (this.#responses.has(res)) return pass();
    this.#begin(this.#connections.get(req.socket), this.#responses, res, req);
    if (this.#last) makeLast(req, res);
    // A sender that has gone away meanwhile does not need an answer any more.
    gate.enter(
      req.socket,
      () => req.socket.destroyed || pass(),
      () => {
        // Its sender may wait for that with the body, and the refusal waits for the body.
        if (event === 'checkContinue') res.writeContinue();
        refuseRequest(req, res);
      },
    );
    return true;
  }

  #upgraded(gate, pass, req, socket) {
    const connection = this.#connections.get(socket);
    if (connection) {
      connection.upgraded = true;
      connection.isWebSocket = /^websocket$/i.test(req.headers.upgrade);
      connection.sent = socket.bytesWritten;
    }
    // Node has let go of the socket, the application has not got it yet: an error is nobody's.
    socket.on('error', ignore);
    gate.enter(
      socket,
      () => {
        if (socket.destroyed) return;
        pass();
        socket.off('error', ignore);
      },
      () => refuseUpgrade(socket),
    );
    return true;
  }
}

/**
 * Whether a connection is a WebSocket whose handshake is over, and that may still be told something. A stream that is piped into it is cut
 * anywhere, and not between two frames.
 */
function isUntold({ socket, isWebSocket, sent, told }) {
  const isPiped = socket.listenerCount('unpipe') > 0;
  return isWebSocket && !told && !isPiped && socket.writable && socket.bytesWritten > sent;
}

/** Whether it was asked by an `EventSource`, or who does as it does: a stream that ends is begun anew. */
function isEventSource({ method, headers }) {
  return method === 'GET' && /\btext\/event-stream\b/i.test(headers.accept);
}

/** Whether `response` is one of server-sent events that has not ended. */
function sendsEvents(response) {
  return response.headersSent && !response.writableEnded && isEventStream(sentType(response));
}

function streamsEvents(stream) {
  return isAnswering(stream) && isEventStream(stream.sentHeaders?.['content-type']);
}

/** The application may not have noticed, and go on writing. */
function endResponse(response) {
  response.on('error', ignore);
  response.end();
}

function endStream(stream) {
  stream.on('error', ignore).end();
}

/** The type that the answer's headers say. `getHeader` does not know what `writeHead` was given. */
function sentType(response) {
  return response.getHeader('content-type') ?? /^content-type: *(.*)$/im.exec(response._header)?.[1];
}

function isEventStream(type) {
  return /^text\/event-stream\b/i.test(type);
}

/** Makes `response`, to `req`, say `Connection: close`, whatever the application says. Too late for one whose headers are out. */
function makeLast(req, response) {
  if (response.headersSent) return;
  response.shouldKeepAlive = false;
  linger(req);
  const { writeHead } = response;
  // Every way to send headers ends here. An application that copies another server's headers may ask for keep-alive.
  response.writeHead = function writeLastHead(status, ...rest) {
    const given = rest.findIndex((value) => typeof value === 'object' && value !== null);
    if (given === -1) response.setHeader('Connection', 'close');
    else rest[given] = lastHeaders(rest[given]);
    return writeHead.call(this, status, ...rest);
  };
}

/**
 * Node closes the connection at the end of its last answer. If the front is still sending the request, it might not read an answer that
 * has come early: the rest of the request is read first.
 */
function linger(req) {
  const { socket } = req;
  const { destroySoon } = socket;
  socket.destroySoon = () => {
    if (req.complete) return destroySoon.call(socket);
    req.once('end', () => destroySoon.call(socket)).resume();
    return socket.end();
  };
}

/**
 * Headers as `writeHead` takes them: an object, a flat list, or a list of pairs. A list stays one, and whole: beside a header that was set
 * before, Node loses some of it, or refuses it.
 */
function lastHeaders(headers) {
  const isOther = (name) => String(name).toLowerCase() !== 'connection';
  if (!Array.isArray(headers)) return { ...Object.fromEntries(Object.entries(headers).filter(([name]) => isOther(name))), Connection: 'close' };
  if (Array.isArray(headers[0])) return [...headers.filter(([name]) => isOther(name)), ['Connection', 'close']];
  return [...headers.filter((_, index) => isOther(headers[index - (index % 2)])), 'Connection', 'close'];
}

module.exports = { Traffic };
