'use strict';

// What HTTP/2 has instead of requests and answers that are the last of their connection.

const ignore = () => {};

/** How long a client has to close a session itself after its last stream, in ms. */
const PATIENCE = 1000;

/** The sessions whose client has been told that they take no more streams. */
const told = new WeakSet();

/**
 * Has `session` take no more streams than it has: its client is told by GOAWAY.
 *
 * To be called while a stream is still answered. nginx, which opens one stream after the other, reads GOAWAY before the end of the answer then,
 * and does not open another on this connection. A session without a stream may be about to get one.
 *
 * Not `session.close()`: with the last stream, that now and then ends the connection before the end of the answer is out.
 */
function lastStreams(session) {
  if (session.closed || session.destroyed || told.has(session)) return;
  told.add(session);
  session.goaway();
}

/** What there is to do about a session that nobody is using any more, while the worker drains. */
function leave(session) {
  if (session.closed || session.destroyed) return;
  if (told.has(session)) setTimeout(() => session.close(), PATIENCE).unref();
  else nudge(session);
}

/** Whether the answer of `stream` has not ended yet: what is sent now reaches the client before the end. */
function isAnswering(stream) {
  return !stream.destroyed && !stream.writableEnded && stream.state.localClose === 0;
}

/**
 * Has nginx close an idle connection: it closes one on which anything arrives while nobody uses it. To others a PING means nothing, and a
 * request that is on its way already is answered.
 */
function nudge(session) {
  try {
    session.ping(ignore);
  } catch {
    // Too many of them are out already.
  }
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
