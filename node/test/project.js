'use strict';

// A project as 2.x's documents describe it, and the real daemon that runs it.
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { NodesockdClient } = require('nodesockd/client');
const { fetchFrom, until } = require('./support.js');

const ours = path.join(__dirname, '..');

/** The program: that of `NODESOCKD_BIN`, or what was built last by `cargo build --package nodesockd` or `node/scripts/pack.js`. */
function program() {
  if (process.env.NODESOCKD_BIN) return process.env.NODESOCKD_BIN;
  const target = path.resolve(ours, '..', process.env.CARGO_TARGET_DIR ?? 'target');
  const built = ['debug/nodesockd', 'install/bin/nodesockd'].map((file) => path.join(target, file)).filter((file) => fs.existsSync(file));
  if (built.length === 0) throw new Error(`no program in ${target}: run \`cargo build --package nodesockd\``);
  return built.sort((a, b) => fs.statSync(b).mtimeMs - fs.statSync(a).mtimeMs)[0];
}

/** A folder with an app, `node_modules` and a YAML file. */
class Project {
  constructor(t, script, { config = '' } = {}) {
    this.dir = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'nodesockd-'));
    this.children = [];
    t.after(async () => {
      // A daemon ends its workers, if it is let.
      for (const child of this.children) child.kill(child === this.daemon ? 'SIGTERM' : 'SIGKILL');
      await Promise.all(this.children.map(({ ended }) => ended));
      fs.rmSync(this.dir, { recursive: true });
    });
    fs.mkdirSync(this.path('node_modules'));
    fs.symlinkSync(ours, this.path('node_modules/nodesockd'));
    fs.symlinkSync(path.join(ours, 'node_modules/express'), this.path('node_modules/express'));
    fs.copyFileSync(path.join(__dirname, 'fixtures/compat', script), this.path(script));
    fs.mkdirSync(this.path('tmp'), { mode: 0o700 });
    fs.writeFileSync(this.path('nodesockd.yml'), `script: ${script}\ntmpDir: tmp\n${config}\n`);
    this.script = script;
    this.ipcPath = this.path('tmp/nodesockd.ipc');
  }

  path(...names) {
    return path.join(this.dir, ...names);
  }

  /** Runs a program until it ends or the test does. */
  spawn(file, args, env = {}) {
    const { PATH, HOME } = process.env;
    const child = spawn(file, args, { cwd: this.dir, env: { PATH, HOME, ...env } });
    child.output = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (child.output += text));
    child.ended = once(child, 'close').then(([code, signal]) => ({ code, signal, output: child.output }));
    this.children.push(child);
    return child;
  }

  /** Runs the app, or code of its kind, without a daemon. */
  node(...args) {
    return this.spawn(process.execPath, args);
  }

  /** Starts the daemon; resolves with a client when its workers are there. */
  async start() {
    this.daemon = this.spawn(program(), ['daemon']);
    const client = new NodesockdClient(this.ipcPath);
    await until(() => this.workers(client).then((workers) => workers.length > 0 && workers.every(({ state }) => state !== 'running'), () => false), () => this.daemon.output);
    return client;
  }

  /** The workers that `status` shows. */
  async workers(client) {
    return (await client.getStatus()).workers;
  }

  /** What the app answers through the link of a slot. */
  get(slot = 0) {
    return fetchFrom({ socketPath: this.path(`tmp/app.${slot}.sock`) });
  }

  cli(...args) {
    return this.spawn(program(), args).ended;
  }
}

module.exports = { Project, program };
