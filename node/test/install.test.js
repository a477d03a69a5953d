'use strict';

// The packages as users get them: from a registry, by each of the package managers, without any script having run.
// `scripts/pack.js` has to be run first, and `npm ci` in `tests`, as `tests/run` does.

const assert = require('node:assert/strict');
const { spawn, spawnSync } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { delimiter } = path;
const { tempDir, until } = require('./support.js');

const root = path.join(__dirname, '../..');
const tools = path.join(root, 'tests/node_modules');
const platform = `${process.platform}-${process.arch}`;
const { version } = require('../package.json');
const LIMIT = 8e6; // bytes, for library and program together

/** How a package manager is called, how it installs all but optional dependencies, and how it runs a program. */
const MANAGERS = {
  npm: { program: ['npm'], add: ['install', '--prefer-offline', 'nodesockd'], bare: ['--omit=optional'], run: ['exec', '--'] },
  pnpm: { program: [path.join(tools, '.bin/pnpm')], add: ['add', 'nodesockd'], bare: ['--no-optional'], run: ['exec'] },
  yarn1: { program: ['node', path.join(tools, 'yarn/bin/yarn.js')], add: ['add', 'nodesockd'], bare: ['--ignore-optional'], run: ['--silent', 'run'] },
  yarn: { program: ['node', path.join(tools, '@yarnpkg/cli-dist/bin/yarn.js')], add: ['add', 'nodesockd'], run: ['run'] },
};

let registry;
let packages;

before(async () => {
  packages = fs.mkdtempSync('/tmp/nsd-npm-');
  const packed = path.join(root, 'target/npm');
  for (const name of ['nodesockd', `nodesockd-${platform}`]) {
    const file = `${name}-${version}.tgz`;
    assert.ok(fs.existsSync(path.join(packed, file)), `${file} is not in target/npm; run node/scripts/pack.js`);
    fs.copyFileSync(path.join(packed, file), path.join(packages, file));
  }
  const server = spawn('node', [path.join(root, 'tests/fixtures/registry.mjs'), packages], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [address] = await once(server.stdout.setEncoding('utf8'), 'data');
  registry = { server, address: address.trim() };
});

after(() => {
  registry.server.kill();
  fs.rmSync(packages, { recursive: true });
});

/** An empty app, and a package manager with nothing but this registry and an empty cache. */
class App {
  constructor(t, manager) {
    Object.assign(this, MANAGERS[manager]);
    this.folder = fs.realpathSync(tempDir(t));
    fs.writeFileSync(this.path('package.json'), '{ "name": "shop", "version": "1.0.0", "license": "MIT" }\n');
    fs.writeFileSync(this.path('.npmrc'), `registry=${registry.address}\n`);
    if (manager === 'yarn') fs.writeFileSync(this.path('.yarnrc.yml'), 'nodeLinker: node-modules\nunsafeHttpWhitelist: [127.0.0.1]\nenableTelemetry: false\n');
    this.env = { PATH: process.env.PATH, HOME: this.folder, CI: 'true', npm_config_registry: registry.address, YARN_NPM_REGISTRY_SERVER: registry.address, YARN_ENABLE_IMMUTABLE_INSTALLS: 'false', YARN_CACHE_FOLDER: this.path('cache') };
  }

  path(...names) {
    return path.join(this.folder, ...names);
  }

  /** What a command says and how it ends. */
  spawn(program, args, env = this.env) {
    return spawnSync(program, args, { cwd: this.folder, env, encoding: 'utf8' });
  }

  /** The same for one that must succeed: what it says. */
  must(program, args, env) {
    const { status, stdout, stderr, error } = this.spawn(program, args, env);
    assert.equal(status, 0, `${program} ${args.join(' ')}: ${error ?? ''}\n${stdout}${stderr}`);
    return stdout;
  }

  manage(...args) {
    return this.must(this.program[0], [...this.program.slice(1), ...args]);
  }

  install(...options) {
    this.manage(...this.add, ...options);
    return this;
  }

  get bin() {
    return this.path('node_modules/.bin/nodesockd');
  }
}

for (const manager in MANAGERS) {
  test(`${manager} installs a program that needs no Node to start`, (t) => {
    const app = new App(t, manager).install();
    const tools = app.path('tools');
    fs.mkdirSync(tools);
    for (const name of ['sh', 'uname', 'dirname', 'sed', 'echo']) {
      const found = process.env.PATH.split(delimiter).map((folder) => path.join(folder, name)).find((file) => fs.existsSync(file));
      fs.symlinkSync(found, path.join(tools, name));
    }
    assert.equal(app.must(app.bin, ['--version'], { PATH: tools }), `nodesockd ${version}\n`);
    assert.equal(app.manage(...app.run, 'nodesockd', '--version'), `nodesockd ${version}\n`);
    // Anything in an argument arrives as it is, and so does the exit status.
    assert.match(app.spawn(app.bin, ['check', '-c', "a 'b' $c *"]).stdout, /a 'b' \$c \*/);
    assert.equal(app.spawn(app.bin, ['check', '-c', 'missing.toml']).status, 3);

    // Where the daemon looks for a newer version of itself once a deploy has switched the link.
    const current = `${app.folder}-current`;
    fs.symlinkSync(app.folder, current);
    t.after(() => fs.rmSync(current));
    const traced = app.spawn('strace', ['-qq', '-e', 'trace=execve', '-s', '999', `${current}/node_modules/.bin/nodesockd`, '--version']);
    const called = traced.stderr.trim().split('\n').pop();
    assert.ok(called.startsWith(`execve("${current}/node_modules/`), called);
    assert.ok(!called.includes(version), called);

    // So does who starts the daemon, whatever a package manager makes of the path.
    fs.writeFileSync(app.path('nodesockd.toml'), 'script = "app.js"\ntmpDir = "run"\n');
    const options = { cwd: current, env: { ...app.env, PWD: current }, encoding: 'utf8' };
    const unit = spawnSync('node_modules/.bin/nodesockd', ['service', 'systemd', '--user', 'nobody'], options).stdout;
    const [, program] = /^ExecStart=(.*) daemon$/m.exec(unit);
    assert.ok(program.startsWith(`${current}/node_modules/`) && !program.includes(version), program);
  });
}

test('yarn runs the program without node_modules, too', (t) => {
  const app = new App(t, 'yarn');
  fs.writeFileSync(app.path('.yarnrc.yml'), fs.readFileSync(app.path('.yarnrc.yml'), 'utf8').replace('node-modules', 'pnp'));
  app.install();
  assert.ok(!fs.existsSync(app.path('node_modules')));
  assert.equal(app.manage(...app.run, 'nodesockd', '--version'), `nodesockd ${version}\n`);
});

test('what is installed is small, has no scripts, and is for this platform only', (t) => {
  const app = new App(t, 'npm').install('--ignore-scripts');
  assert.equal(app.must(app.bin, ['--version']), `nodesockd ${version}\n`);
  const programs = fs.readdirSync(app.path('node_modules/@nodesockd'));
  assert.deepEqual(programs, [platform]);
  for (const name of ['nodesockd', `@nodesockd/${platform}`]) {
    const manifest = JSON.parse(fs.readFileSync(app.path('node_modules', name, 'package.json')));
    assert.deepEqual([manifest.version, manifest.scripts, manifest.dependencies], [version, undefined, undefined], name);
  }
  const size = Number(app.must('du', ['-sb', 'node_modules']).split('\t')[0]);
  t.diagnostic(`${size} bytes`);
  assert.ok(size < LIMIT, `${size} bytes`);
});

test('its types are found by users of ESM and of CommonJS', (t) => {
  const app = new App(t, 'npm').install();
  fs.cpSync(path.join(__dirname, 'types'), app.path('src'), { recursive: true });
  const ours = path.join(__dirname, '../node_modules');
  app.must('node', [path.join(ours, 'typescript/bin/tsc'), '-p', 'src', '--typeRoots', path.join(ours, '@types')]);
});

for (const manager of ['npm', 'pnpm', 'yarn1']) {
  test(`${manager} without optional dependencies: the repair is said, and works`, (t) => {
    const app = new App(t, manager).install(...MANAGERS[manager].bare);
    const { status, stdout, stderr } = app.spawn(app.bin, ['status']);
    assert.deepEqual([status, stdout], [1, '']);
    assert.match(stderr, new RegExp(`in the package @nodesockd/${platform}, which is not installed`));
    const [, ...repair] = /Install it with: (.*)/.exec(stderr)[1].split(' ');
    app.manage(...repair);
    assert.equal(app.must(app.bin, ['--version']), `nodesockd ${version}\n`);
  });
}

test('node_modules from another system are told from ones that lack the program', (t) => {
  const app = new App(t, 'npm').install();
  const folder = (name) => app.path('node_modules/@nodesockd', name);
  const manifest = JSON.parse(fs.readFileSync(path.join(folder(platform), 'package.json')));
  const other = platform === 'linux-x64' ? 'linux-arm64' : 'linux-x64';
  fs.renameSync(folder(platform), folder(other));
  assert.match(app.spawn(app.bin, ['status']).stderr, new RegExp(`There is @nodesockd/${other} instead: node_modules comes from another system`));

  fs.renameSync(folder(other), folder(platform));
  fs.writeFileSync(path.join(folder(platform), 'package.json'), JSON.stringify({ ...manifest, version: '2.9.9' }));
  const byNode = (...args) => app.spawn('node', [app.bin, ...args]);
  assert.match(byNode('status').stderr, new RegExp(`is version 2.9.9, but nodesockd is ${version}`));

  fs.writeFileSync(path.join(folder(platform), 'package.json'), JSON.stringify(manifest));
  fs.chmodSync(path.join(folder(platform), 'bin/nodesockd'), 0o644);
  assert.match(byNode('status').stderr, /bin\/nodesockd cannot be run: EACCES/);

  const program = require(app.path('node_modules/nodesockd/lib/program.js'));
  assert.throws(() => program.locate('linux-s390x'), /for linux-s390x, only for linux-x64 and linux-arm64.\n.*cargo install nodesockd/);
  assert.throws(() => program.locate('darwin-arm64'), /run on Linux only, and this is darwin-arm64\.\n.*by plain `node`/);
});

test('Node is replaced by the program where it can be', async (t) => {
  const app = new App(t, 'npm').install();
  const node = path.join(tools, `node-${platform}/bin/node`);
  const daemon = await run(t, app, node, []);
  assert.equal(fs.readlinkSync(`/proc/${daemon.pid}/exe`), app.path(`node_modules/@nodesockd/${platform}/bin/nodesockd`));
  daemon.kill('SIGTERM');
  assert.deepEqual(await once(daemon, 'exit'), [0, null]);
  assert.doesNotMatch(daemon.said, /Experimental/);
});

test('Node passes signals and the exit status on where it cannot', async (t) => {
  const app = new App(t, 'npm').install();
  const able = ['--require', path.join(__dirname, 'fixtures/no-execve.js')];
  const daemon = await run(t, app, process.execPath, able);
  assert.match(fs.readlinkSync(`/proc/${daemon.pid}/exe`), /node$/);
  fs.appendFileSync(app.path('nodesockd.toml'), 'workers = 2\n');
  daemon.kill('SIGHUP');
  await until(() => fs.existsSync(app.path('run/app.1.sock')), () => daemon.said);
  daemon.kill('SIGUSR1');
  await until(() => /log files reopened/.test(daemon.said), () => daemon.said);
  daemon.kill('SIGINT');
  assert.deepEqual(await once(daemon, 'exit'), [0, null]);

  const silent = net.createServer(() => {}).listen(app.path('silent.ipc'));
  t.after(() => silent.close());
  const asking = spawn(process.execPath, [...able, app.bin, 'status', '--ipc', 'silent.ipc'], { cwd: app.folder, env: app.env });
  const [connection] = await once(silent, 'connection');
  process.kill(childOf(asking.pid), 'SIGKILL');
  assert.deepEqual(await once(asking, 'exit'), [null, 'SIGKILL']);
  connection.destroy();
  assert.equal(app.spawn('node', [...able, app.bin, 'status', '--ipc', 'nowhere']).status, 4);
});

test("a terminal's interrupt reaches the program once", async (t) => {
  const app = new App(t, 'npm').install();
  prepare(app, 'setInterval(() => {}, 1000);'); // never online, never done
  const terminal = spawn('python3', [path.join(__dirname, 'fixtures/terminal.py'), process.execPath, '--require', path.join(__dirname, 'fixtures/no-execve.js'), app.bin, 'daemon'], { cwd: app.folder, env: app.env });
  t.after(() => terminal.kill('SIGKILL'));
  let said = '';
  terminal.stdout.setEncoding('utf8').on('data', (text) => (said += text));
  await until(() => /worker started/.test(said), () => said);
  terminal.stdin.write('interrupt\n');
  const [code] = await once(terminal, 'exit');
  assert.equal(code, 0, said);
  // The second one would be answered by killing the workers at once.
  assert.match(said, /quitting/);
  assert.doesNotMatch(said, /interrupted again/);
});

/** A configuration, and a worker. */
function prepare(app, script) {
  fs.writeFileSync(app.path('nodesockd.toml'), 'script = "app.js"\ntmpDir = "run"\n');
  fs.writeFileSync(app.path('app.js'), script);
  fs.mkdirSync(app.path('run'), { recursive: true });
}

/** A daemon that serves, started through the JavaScript half of the launcher. */
async function run(t, app, node, options) {
  prepare(app, "require('nodesockd').listen((req, res) => res.end());");
  const daemon = spawn(node, [...options, app.bin, 'daemon'], { cwd: app.folder, env: app.env });
  t.after(() => daemon.kill('SIGTERM'));
  daemon.said = '';
  for (const stream of [daemon.stdout, daemon.stderr]) stream.setEncoding('utf8').on('data', (text) => (daemon.said += text));
  await until(() => fs.existsSync(app.path('run/app.0.sock')), () => daemon.said);
  return daemon;
}

function childOf(pid) {
  return Number(fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'));
}
