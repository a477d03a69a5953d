'use strict';

// What HTTP/2 has instead of requests and answers that are the last of their connection.

const fs = require('node:fs');

const ignore = () => {};

/** How long a client has to close a session itself after its last stream, in ms. */
const PATIENCE = 1000;

/**
 * GOAWAY with the highest number that a stream can have: the client opens no more streams, and those that are on their way are answered. One with
 * the number of the last stream refuses them, and a front cannot send a body again that it has passed on already. Node itself sends no other:
 * after any GOAWAY it ignores new streams, whatever the number.
 */
const NOTICE = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

/** The sessions whose client has been told that they take no more streams; whether it is known to have read that. */
const told = new WeakMap();

/**
 * Has the client of a session open no more streams, as soon as that can be said: to be called whenever a stream begins or ends.
 *
 * @param {{socket: import('node:net').Socket, session: import('node:http2').Http2Session, active: number}} connection with that session
 * @param {import('node:http2').Http2Stream} [stream] one that is in progress
 */
function lastStreams(connection, stream) {
  const { session, socket } = connection;
  if (session.closed || session.destroyed || told.has(session)) return;
  if (!writesPlain(socket)) refuseMore(session, stream);
  // The first that a client gets has to be the settings.
  else if (!session.pendingSettingsAck && writeNow(socket, NOTICE)) confirm(connection);
}

/** Whether what is written to the file descriptor of `socket` is what the client reads. */
function writesPlain(socket) {
  return !socket.encrypted && !process.versions.deno;
}

/**
 * Writes whole frames between those of Node, which knows nothing of them, and does not expect the end of a write that it has not begun. Only if
 * all that Node has written is out, and the kernel takes this as well.
 */
function writeNow(socket, frames) {
  const { fd, writeQueueSize } = socket._handle ?? {};
  if (!(fd >= 0) || writeQueueSize > 0) return false;
  try {
    return fs.writeSync(fd, frames) === frames.length;
  } catch {
    return false;
  }
}

/** Learns when the client has read the notice: by then, all streams have come that it had opened before. */
function confirm(connection) {
  told.set(connection.session, false);
  ping(connection.session, () => {
    told.set(connection.session, true);
    leave(connection);
  });
}

/**
 * Has `session` take no more streams than it has, while one is answered: nginx, which opens one stream after the other, reads GOAWAY before the end of
 * the answer then. A session without a stream may be about to get one. It gets a PING: nginx closes an idle connection on which anything
 * arrives, and a request that is on its way already is answered.
 *
 * Not `session.close()`: with the last stream, that now and then ends the connection before the end of the answer is out.
 */
function refuseMore(session, stream) {
  if (stream === undefined) return ping(session, ignore);
  if (!isAnswering(stream)) return;
  told.set(session, true);
  session.goaway();
}

function ping(session, answered) {
  try {
    session.ping(answered);
  } catch {
    // Too many of them are out already.
  }
}

/** Closes a session that nobody uses any more, some time after its last stream: the client may be faster. */
function leave(connection) {
  const isLeft = () => connection.active === 0 && told.get(connection.session) === true;
  if (isLeft()) setTimeout(() => isLeft() && connection.session.close(), PATIENCE).unref();
}

/** Whether the answer of `stream` has not ended yet: what is sent now reaches the client before the end. */
function isAnswering(stream) {
  return !stream.destroyed && !stream.writableEnded && stream.state.localClose === 0;
}

/** Answers a stream that the worker has not begun, and never will: whoever sent it may safely send it again. */
function refuseStream(stream) {
  if (stream.destroyed || stream.headersSent) return;
  stream.respond({ ':status': 503, 'retry-after': '0', 'content-length': '0' }, { endStream: true });
  stream.resume();
}

/**
 * Keeps what comes on `stream` until the application gets it: an error would be nobody's, and Node emits `end` early for a body that is
 * empty.
 *
 * @returns {(pass: () => void) => void} calls `pass`, which hands the stream to the application
 */
function keep(stream) {
  stream.on('error', ignore);
  stream.read = () => null;
  return (pass) => {
    delete stream.read;
    pass();
    stream.off('error', ignore);
    stream.read(0);
  };
}

module.exports = { isAnswering, keep, lastStreams, leave, refuseStream };
