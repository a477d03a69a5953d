// A worker by hand: listens, reports, answers, goes when it is told to.
const http = require('node:http');
const { NODESOCKD_WORKER_ID: id, NODESOCKD_SOCKET_PATH: path, NODESOCKD_SUSPENDED } = process.env;
const suspended = NODESOCKD_SUSPENDED === 'true';

const server = http.createServer((request, response) => response.end(id));
server.listen(path, () => send({ type: 'online', data: { id, pid: process.pid, suspended } }));

process.on('message', ({ type, id: requestId, data }) => {
  if (type === 'shutdown') {
    server.close(() => process.exit());
    server.closeAllConnections();
  } else if (type === 'app-msg') {
    console.error(`got ${data.message} ${JSON.stringify(data.data)}`);
  } else if (type === 'app-req' && data.request === 'echo') {
    send({ type: 'reply', requestId, data: { pid: process.pid, data: data.data }, done: true });
  } else if (type === 'app-req') {
    send({ type: 'reply', requestId, errors: [`no \x1b[2Jsuch request: ${data.request}`], done: true });
  }
});

function send(message) {
  process.send(message, () => {});
}
