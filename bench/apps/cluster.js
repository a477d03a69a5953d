'use strict';

// What people write with Node's cluster module: a line on stdin replaces one worker after the other, a line on stdout says
// that all are replaced (and, first of all, that all are there).

const cluster = require('node:cluster');
const { once } = require('node:events');
const path = require('node:path');
const readline = require('node:readline');

/** How long a worker may take to finish, in ms. nginx may use the connections it has kept for ever. */
const KILL_TIMEOUT = 5_000;

async function start() {
  const worker = cluster.fork();
  await once(worker, 'listening');
  return worker;
}

async function reload() {
  for (const old of Object.values(cluster.workers)) {
    await start();
    const gone = once(old, 'exit');
    old.send('close');
    const timer = setTimeout(() => old.process.kill('SIGKILL'), KILL_TIMEOUT);
    await gone;
    clearTimeout(timer);
  }
}

async function main() {
  cluster.setupPrimary({ exec: path.join(__dirname, 'app.js') });
  await Promise.all(Array.from({ length: Number(process.env.WORKERS) }, start));
  console.log('ready');
  for await (const _ of readline.createInterface({ input: process.stdin })) {
    await reload();
    console.log('reloaded');
  }
  process.exit();
}

main();
