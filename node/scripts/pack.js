#!/usr/bin/env node
// Builds the program for this machine and packs it: nodesockd-VERSION.tgz, which is the same on every platform, and
// nodesockd-PLATFORM-VERSION.tgz, which holds the program. Prints their paths.
//
//   node/scripts/pack.js [--out FOLDER] [--program FILE]
//
// FOLDER is target/npm unless given; FILE is packed instead of building. VERSION is that of node/package.json, unless
// NODESOCKD_VERSION says otherwise, as it does to the program's build.
'use strict';

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');

/** The platforms there are packages for, and what Rust calls them. */
const TARGETS = {
  'linux-x64': 'x86_64-unknown-linux-gnu',
  'linux-arm64': 'aarch64-unknown-linux-gnu',
};

const root = path.resolve(__dirname, '../..');
const ours = path.join(root, 'node');
const source = require('../package.json');
const version = process.env.NODESOCKD_VERSION ?? source.version;

/**
 * Builds the program, linked statically: it runs with any C library, or none. By `cargo install`, as those do for whose
 * machine there is no package.
 */
function build(target) {
  const variable = `CARGO_TARGET_${target.toUpperCase().replaceAll('-', '_')}_RUSTFLAGS`;
  const folder = path.resolve(root, process.env.CARGO_TARGET_DIR ?? 'target', 'install');
  execFileSync('cargo', ['install', '--quiet', '--locked', '--force', '--path', 'bin', '--root', folder, '--target', target], {
    cwd: root,
    env: { ...process.env, [variable]: '-C target-feature=+crt-static' },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return path.join(folder, 'bin', 'nodesockd');
}

/** Fills `folder` with the package that everybody installs. */
function stageLibrary(folder) {
  const { scripts, devDependencies, ...manifest } = { ...source, version };
  const names = Object.keys(TARGETS).map((platform) => `@nodesockd/${platform}`);
  manifest.repository = repository();
  manifest.optionalDependencies = Object.fromEntries(names.map((name) => [name, manifest.version]));
  writeManifest(folder, manifest);
  for (const file of [...manifest.files, 'README.md']) fs.cpSync(path.join(ours, file), path.join(folder, file), { recursive: true });
}

/** Fills `folder` with the package that holds the program. */
function stageProgram(folder, platform, program) {
  const { license, engines } = source;
  const [os, cpu] = platform.split('-');
  const name = `@nodesockd/${platform}`;
  const description = `The program of nodesockd for ${platform}; install nodesockd instead`;
  // Package managers that keep packages in archives have to unpack this one.
  writeManifest(folder, { name, version, description, license, repository: repository(), engines, os: [os], cpu: [cpu], preferUnplugged: true });
  fs.writeFileSync(path.join(folder, 'README.md'), `# ${name}\n\n${description}.\n`);
  for (const file of ['LICENSE-MIT', 'LICENSE-APACHE']) fs.copyFileSync(path.join(ours, file), path.join(folder, file));
  fs.mkdirSync(path.join(folder, 'bin'));
  fs.copyFileSync(program, path.join(folder, 'bin/nodesockd'));
}

/** Where this is built: npm compares it with the provenance of what is published. */
function repository() {
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: name } = process.env;
  return server && name ? { type: 'git', url: `git+${server}/${name}.git` } : undefined;
}

function writeManifest(folder, manifest) {
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

function pack(folder, out) {
  const packed = execFileSync('npm', ['pack', '--silent', '--pack-destination', out], { cwd: folder, encoding: 'utf8' });
  return path.join(out, packed.trim());
}

const USAGE = 'usage: node/scripts/pack.js [--out FOLDER] [--program FILE]';

/** What the command line says; ends the process if it asks for help, or cannot be understood. */
function options() {
  try {
    const { values } = parseArgs({ options: { out: { type: 'string' }, program: { type: 'string' }, help: { type: 'boolean', short: 'h' } } });
    if (!values.help) return values;
    console.log(USAGE);
    process.exit(0);
  } catch (error) {
    console.error(`pack.js: ${error.message}\n${USAGE}`);
    process.exit(2);
  }
}

function main() {
  const values = options();
  const platform = `${process.platform}-${process.arch}`;
  if (!(platform in TARGETS)) throw new Error(`there is no package for ${platform}`);
  const program = values.program ? path.resolve(values.program) : build(TARGETS[platform]);
  const says = execFileSync(program, ['--version'], { encoding: 'utf8' }).trim();
  if (says !== `nodesockd ${version}`) throw new Error(`${program} says ${says}, it should be ${version}`);

  const out = path.resolve(values.out ?? path.join(root, 'target/npm'));
  fs.mkdirSync(out, { recursive: true });
  const stage = fs.mkdtempSync(path.join(out, 'stage-'));
  stageLibrary(path.join(stage, 'library'));
  stageProgram(path.join(stage, 'program'), platform, program);
  for (const folder of ['library', 'program']) console.log(pack(path.join(stage, folder), out));
  fs.rmSync(stage, { recursive: true });
}

main();
