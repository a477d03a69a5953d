'use strict';

// An app as it runs in production: the real daemon, a real nginx in front, and users that ask all the time.
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const http2 = require('node:http2');
const net = require('node:net');
const path = require('node:path');
const { NodesockdClient } = require('nodesockd/client');
const { program } = require('./project.js');
const { until } = require('./support.js');

const ours = path.join(__dirname, '..');
const SLOTS = 2;

/** How nginx talks to the workers, and users to nginx, by protocol. */
const PROTOCOLS = {
  http: { listen: '', location: 'proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_next_upstream off;' },
  grpc: { listen: ' http2', location: 'grpc_pass grpc://app; grpc_next_upstream off; client_max_body_size 0;' },
};

/** An app with its daemon and nginx, in a folder of its own. */
class Site {
  /**
   * @param {object} t the test
   * @param {string} script the app
   * @param {{config?: string, env?: Record<string, string>, nodeArgs?: string[], protocol?: keyof typeof PROTOCOLS}} options
   */
  constructor(t, script, { config = '', env = {}, nodeArgs = [], protocol = 'http' } = {}) {
    // Short: the path of a socket has an end.
    this.dir = fs.mkdtempSync('/tmp/nsd-site-');
    this.children = [];
    this.protocol = protocol;
    t.after(() => this.#end());
    fs.mkdirSync(this.path('run'), { mode: 0o700 });
    fs.mkdirSync(this.path('node_modules'));
    fs.symlinkSync(ours, this.path('node_modules/nodesockd'));
    fs.writeFileSync(this.path('nodesockd.toml'), `
script = ${JSON.stringify(script)}
tmpDir = "run"
options.onlineTimeout = 60000
workers = ${SLOTS}
nodeArgs = ${JSON.stringify(nodeArgs)}
${config}
[env]
${Object.entries(env).map(([name, value]) => `${name} = ${JSON.stringify(value)}`).join('\n')}
`);
    fs.writeFileSync(this.path('nginx.conf'), this.#nginx());
  }

  path(...names) {
    return path.join(this.dir, ...names);
  }

  get front() {
    return this.path('front.sock');
  }

  /** Starts the daemon and nginx; resolves when both serve. */
  async start() {
    this.daemon = this.#spawn(program(), ['daemon']);
    this.client = new NodesockdClient(this.path('run/nodesockd.ipc'));
    await until(() => this.#ready(), () => `workers that are online: ${this.daemon.output}`);
    this.nginx = this.#spawn('nginx', ['-p', this.dir, '-c', this.path('nginx.conf'), '-e', 'stderr']);
    await until(() => connects(this.front), () => `nginx: ${this.nginx.output}`);
  }

  async #ready() {
    try {
      const workers = (await this.client.getStatus()).workers.filter(({ idx }) => idx !== undefined);
      return workers.length === SLOTS && workers.every(({ state }) => state === 'online');
    } catch {
      return false;
    }
  }

  /** Everything that was said, for a test that fails. */
  get said() {
    return `${this.daemon.output}\n${this.nginx.output}`;
  }

  #spawn(file, args) {
    const { HOME } = process.env;
    const child = spawn(file, args, { cwd: this.dir, env: { HOME, PATH: `${process.env.PATH}:/usr/sbin` } });
    child.output = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (child.output += text));
    child.ended = once(child, 'close');
    this.children.push(child);
    return child;
  }

  async #end() {
    this.client?.terminate();
    for (const child of this.children) child.kill();
    await Promise.all(this.children.map(({ ended }) => ended));
    fs.rmSync(this.dir, { recursive: true });
  }

  #nginx() {
    const { listen, location } = PROTOCOLS[this.protocol];
    const servers = Array.from({ length: SLOTS }, (_, slot) => `server unix:${this.path('run', `app.${slot}.sock`)} max_fails=0;`);
    return `
daemon off;
${process.getuid() === 0 ? 'user root;' : ''}
pid ${this.path('nginx.pid')};
worker_processes 1;
events {}
http {
  access_log off;
  client_body_temp_path ${this.path('body')};
  proxy_temp_path ${this.path('proxy')};
  fastcgi_temp_path ${this.path('fastcgi')};
  uwsgi_temp_path ${this.path('uwsgi')};
  scgi_temp_path ${this.path('scgi')};
  upstream app { ${servers.join(' ')} keepalive 16; }
  server {
    listen unix:${this.front}${listen};
    location / { ${location} }
  }
}
`;
  }
}

/** Whether somebody listens there. */
function connects(path) {
  return new Promise((resolve) => {
    const socket = net.connect(path);
    socket.on('error', () => resolve(false));
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}

/** Users who ask all the time, and what they got. */
class Load {
  answered = 0;
  lost = [];
  #running = true;
  #users;

  /** @param {() => () => Promise<void>} user makes what one user does again and again; it rejects when a request is lost */
  constructor(t, users, user) {
    t.after(() => this.end());
    this.#users = Array.from({ length: users }, () => this.#ask(user()));
  }

  async #ask(request) {
    while (this.#running) {
      await request().then(
        () => (this.answered += 1),
        (error) => this.lost.push(String(error)),
      );
    }
  }

  /** Resolves when so many more requests have been answered. */
  async flows(count = 200) {
    const wanted = this.answered + count;
    await until(() => this.answered >= wanted || this.lost.length > 0, () => `${count} answers`);
  }

  async end() {
    this.#running = false;
    await Promise.all(this.#users);
  }
}

/** A POST over a connection that is kept, as HTTP/1.1. */
function poster({ front }, url = '/', body = 'x'.repeat(100)) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  return () => new Promise((resolve, reject) => {
    const req = http.request({ agent, socketPath: front, method: 'POST', path: url }, (res) => {
      res.resume();
      res.on('error', reject);
      res.on('end', () => (res.statusCode === 200 ? resolve() : reject(new Error(`status ${res.statusCode}`))));
    });
    req.on('error', reject);
    req.end(body);
  });
}

/** A POST over HTTP/2, by a session of its own. */
function streamer({ front }, url = '/', body = 'x'.repeat(100)) {
  let session;
  return () => new Promise((resolve, reject) => {
    if (!session || session.closed || session.destroyed) {
      session = http2.connect('http://app', { createConnection: () => net.connect(front) });
      session.on('error', () => {});
      session.unref();
    }
    const stream = session.request({ ':method': 'POST', ':path': url, 'content-type': 'application/grpc', 'te': 'trailers' });
    let status;
    stream.on('response', (headers) => (status = headers[':status']));
    stream.on('error', reject);
    stream.resume();
    stream.on('close', () => (status === 200 && stream.rstCode === 0 ? resolve() : reject(new Error(`status ${status}, code ${stream.rstCode}`))));
    stream.end(body);
  });
}

module.exports = { Load, Site, poster, streamer };
