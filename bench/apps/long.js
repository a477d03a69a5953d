'use strict';

// What takes its time: uploads, downloads, server-sent events and WebSockets. For app.js, if LONG is set.

const { WebSocketServer } = require('ws');

/** How often those who listen are sent something, in ms. */
const EVERY = 1000;

const listeners = new Set();
let count = 0;

setInterval(() => {
  count += 1;
  for (const send of listeners) send(count);
}, EVERY).unref();

/** Has `send` called until `stream` is closed. */
function listen(stream, send) {
  listeners.add(send);
  stream.once('close', () => listeners.delete(send));
}

/** Answers a request for something long; returns false for any other. */
function answers(req, res) {
  const [, what, time] = req.url.split('/');
  switch (what) {
    case 'upload':
      takeIn(req, res);
      return true;
    case 'download':
      write(res, Date.now() + Number(time));
      return true;
    case 'events':
      res.writeHead(200, { 'Content-Type': 'text/event-stream' });
      res.flushHeaders();
      listen(res, (number) => res.write(`data: ${number}\n\n`));
      return true;
    default:
      return false;
  }
}

async function takeIn(req, res) {
  let bytes = 0;
  for await (const chunk of req) bytes += chunk.length;
  res.end(`${bytes}\n`);
}

function write(res, end) {
  if (Date.now() >= end) return res.end('the end\n');
  res.write('more\n');
  return setTimeout(write, 100, res, end);
}

/** Takes WebSockets to `server`. */
function accept(server) {
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => listen(socket, (number) => socket.send(String(number))));
}

module.exports = { accept, answers };
