'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { name, version, optionalDependencies: packages = {} } = require('../package.json');

/** How to get an optional dependency back that is not installed, by the file that tells who has installed the others. */
const REPAIRS = {
  '.package-lock.json': 'npm install --include=optional',
  '.modules.yaml': 'pnpm install --force',
  '.yarn-integrity': 'yarn install --force',
  '.yarn-state.yml': 'yarn install',
};

/**
 * The path of the native program.
 * @throws an `Error` whose message says why there is none, and what to do
 */
function locate(platform = `${process.platform}-${process.arch}`) {
  const wanted = `@nodesockd/${platform}`;
  let manifest;
  try {
    manifest = require.resolve(`${wanted}/package.json`);
  } catch {
    throw new Error(wanted in packages ? missing(wanted) : unknown(platform));
  }
  const found = require(manifest).version;
  if (found !== version) throw new Error(mixed(wanted, found));
  const program = path.join(path.dirname(manifest), 'bin', 'nodesockd');
  try {
    fs.accessSync(program, fs.constants.X_OK);
  } catch (error) {
    throw new Error(`nodesockd: ${program} cannot be run: ${error.code}. Install ${wanted}@${version} again.`);
  }
  return program;
}

function missing(wanted) {
  const others = Object.keys(packages).filter((name) => {
    try {
      return require.resolve(`${name}/package.json`);
    } catch {
      return false;
    }
  });
  const reason = others.length
    ? `There is ${others.join(', ')} instead: node_modules comes from another system.`
    : 'It is an optional dependency, which --omit=optional, --no-optional and --ignore-optional leave out, and so does a lock file written on a system that has no use for it.';
  return `nodesockd: the program is in the package ${wanted}, which is not installed.
${reason}
Install it with: ${repair()}
If that does not help, remove the lock file and node_modules first.`;
}

function unknown(platform) {
  const known = Object.keys(packages).map((name) => name.slice(name.indexOf('/') + 1));
  if (!known.length) return 'nodesockd: this is the source of the package; the program is built with `cargo build --release`.';
  if (!platform.startsWith('linux-')) {
    return `nodesockd: the daemon and its command run on Linux only, and this is ${platform}.
The library works here: started by plain \`node\`, without a daemon, the app listens where \`nodesockd.listen(app, 3000)\` says.
To try the daemon itself, run it in a container with Linux.`;
  }
  return `nodesockd: there is no package with the program for ${platform}, only for ${known.join(' and ')}.
Build it from source with: cargo install nodesockd`;
}

function mixed(wanted, found) {
  return `nodesockd: ${wanted} is version ${found}, but ${name} is ${version}; both must be the same.
Install them again with: ${repair()}`;
}

/** The command of whoever installed us, as the marks in the `node_modules` folders above tell. */
function repair() {
  for (let folder = path.dirname(__dirname); folder !== path.dirname(folder); folder = path.dirname(folder)) {
    if (path.basename(folder) !== 'node_modules') continue;
    const mark = Object.keys(REPAIRS).find((mark) => fs.existsSync(path.join(folder, mark)));
    if (mark) return REPAIRS[mark];
  }
  return REPAIRS['.package-lock.json'];
}

module.exports = { locate };
