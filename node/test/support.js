'use strict';

const { spawn } = require('node:child_process');
const { randomUUID } = require('node:crypto');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');

/** A directory of the test's own. */
function tempDir(t) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'nodesockd-'));
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A real process with a real channel, as the daemon would have started it. */
class TestWorker {
  constructor(t, fixture, { dir = tempDir(t), suspended = false, env = {}, listenFd, moreFds = [], channel = true, nodeArgs = [], runtime = process.execPath } = {}) {
    this.id = randomUUID();
    this.dir = dir;
    this.socketPath = path.join(dir, `app.${this.id}.sock`);
    this.ipcPath = path.join(dir, 'nodesockd.ipc');
    this.frames = [];
    this.pings = 0;
    this.stderr = '';
    this.stdout = '';
    const stdio = ['ignore', 'pipe', 'pipe', listenFd ?? 'ignore', channel ? 'ipc' : 'ignore', ...moreFds];
    // LISTEN_PID has to be the pid of Node itself.
    this.process = spawn('sh', ['-c', 'LISTEN_PID=$$ exec "$0" "$@"', runtime, ...nodeArgs, path.join(__dirname, 'fixtures', fixture)], {
      stdio,
      env: {
        PATH: process.env.PATH,
        NODESOCKD_APP_NAME: 'test',
        NODESOCKD_WORKER_ID: this.id,
        NODESOCKD_SUSPENDED: suspended ? 'true' : '',
        NODESOCKD_SOCKET_PATH: this.socketPath,
        NODESOCKD_IPC_PATH: this.ipcPath,
        ...(listenFd === undefined ? {} : { LISTEN_FDS: '1' }),
        ...env,
      },
    });
    this.process.on('message', (frame) => {
      this.frames.push(frame);
      // As the daemon does. The worker may be gone by now.
      if (frame.type === 'send-app-msg') this.process.send({ type: 'reply', requestId: frame.id, done: true }, () => {});
    });
    this.process.stderr.on('data', (text) => (this.stderr += text));
    this.process.stdout.on('data', (text) => (this.stdout += text));
    // Not `close` of the process: Node does not emit it after `disconnect`.
    const ends = ['stdout', 'stderr'].map((name) => once(this.process[name], 'close'));
    this.exited = Promise.all([once(this.process, 'exit'), ...ends]).then(([[code, signal]]) => ({ code, signal, stderr: this.stderr }));
    t.after(() => {
      this.process.kill('SIGKILL');
      return this.exited;
    });
  }

  /** The first frame of a type; waits for it. */
  async frame(type, matches = () => true) {
    return until(
      () => this.frames.find((frame) => frame.type === type && matches(frame)),
      () => `a "${type}" from the worker; it said ${JSON.stringify(this.frames)}; ${this.stderr}`,
    );
  }

  tell(type, data, id) {
    this.process.send({ type, data, id });
  }

  /** Sends a `ping` and returns the data of its `pong`. */
  async ping() {
    const seq = (this.pings += 1);
    this.tell('ping', { seq });
    return (await this.frame('pong', (frame) => frame.data.seq === seq)).data;
  }

  /** Sends an `app-req` and returns its replies, the last included. */
  async ask(request, data) {
    const id = randomUUID();
    this.tell('app-req', { request, data }, id);
    await this.frame('reply', (frame) => frame.requestId === id && frame.done);
    return this.frames.filter((frame) => frame.requestId === id);
  }

  get(url = '/', options = {}) {
    return fetchFrom({ socketPath: this.socketPath, path: url, ...options });
  }
}

/** One HTTP request; `agent: new http.Agent({keepAlive: true})` to keep the connection as nginx does. */
function fetchFrom({ body, agent = false, ...options }) {
  return new Promise((resolve, reject) => {
    const req = http.request({ agent, ...options }, (res) => {
      let text = '';
      res.on('data', (chunk) => (text += chunk));
      res.on('end', () => resolve({ status: res.statusCode, headers: res.headers, body: text, reused: req.reusedSocket }));
      res.on('error', reject);
    });
    req.on('error', reject);
    req.end(body);
  });
}

/** The other end of an IPC socket: collects frames, says what it is told to. */
class TestDaemon {
  constructor(t, socketPath, onFrame = () => {}) {
    this.frames = [];
    this.sockets = new Set();
    this.server = net.createServer((socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
      socket.on('error', () => {});
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk;
        const lines = text.split('\n');
        text = lines.pop();
        for (const line of lines) {
          const frame = JSON.parse(line);
          this.frames.push(frame);
          onFrame(frame, (...answers) => answers.forEach((answer) => socket.write(`${JSON.stringify(answer)}\n`)), socket);
        }
      });
    });
    this.server.listen(socketPath);
    this.listening = once(this.server, 'listening');
    t.after(() => this.kill());
  }

  tell(type, data, id) {
    for (const socket of this.sockets) socket.write(`${JSON.stringify({ type, data, id })}\n`);
  }

  frame(type, matches = () => true) {
    return until(
      () => this.frames.find((frame) => frame.type === type && matches(frame)),
      () => `a "${type}" on the IPC socket; got ${JSON.stringify(this.frames)}`,
    );
  }

  kill() {
    for (const socket of this.sockets) socket.destroy();
    if (this.server.listening) this.server.close();
  }
}

/** A listening socket to inherit; nobody accepts from it but who inherits it. */
async function inheritedSocket(t) {
  const dir = tempDir(t);
  const server = net.createServer().listen(path.join(dir, 'bound.sock'));
  await once(server, 'listening');
  const socketPath = path.join(dir, 'app.0.sock');
  // Closing it here removes one of the two names, and leaves the socket to the workers.
  fs.linkSync(path.join(dir, 'bound.sock'), socketPath);
  return { fd: server._handle.fd, socketPath, letGo: () => server.close() };
}

/** How long a test waits for something that ought to happen, in ms. Far more than any of it takes, on any machine. */
const PATIENCE = 50_000;

/** Waits until `condition` returns something true, and returns it. */
async function until(condition, what = () => condition.toString()) {
  const begun = performance.now();
  while (performance.now() - begun < PATIENCE) {
    const value = await condition();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`waited in vain for ${what()}`);
}

module.exports = { TestDaemon, TestWorker, fetchFrom, inheritedSocket, tempDir, until };
