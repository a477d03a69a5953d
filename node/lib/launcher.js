'use strict';

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const { signals } = require('node:os').constants;
const path = require('node:path');
const { locate } = require('./program.js');

/** Signals that are not passed on: nobody can, or they mean Node itself. */
const OURS = ['SIGKILL', 'SIGSTOP', 'SIGCHLD', 'SIGPIPE', 'SIGPROF', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGILL', 'SIGSEGV', 'SIGSYS', 'SIGTRAP'];

/** Runs the native program with `args`: in place of this process where Node can do that, else as its child. */
function launch(args) {
  let program;
  try {
    program = locate();
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
    return;
  }
  // The Node that somebody has chosen to start this by runs the workers, too, unless the configuration says otherwise.
  const env = { ...process.env, NODESOCKD_NODE: thisNode() };
  if (process.execve) process.execve(program, [program, ...args], env);
  else attend(program, args, env);
}

/** The path of this Node: the one it was called by, which stays the same when a symlink on the way is switched. */
function thisNode() {
  const { argv0, execPath } = process;
  try {
    return path.isAbsolute(argv0) && fs.realpathSync(argv0) === fs.realpathSync(execPath) ? argv0 : execPath;
  } catch {
    return execPath;
  }
}

/** Hands every signal down to the program, and its exit status up. */
function attend(program, args, env) {
  // In a session of its own it gets no signal from the terminal, but each of them from us, and so exactly once.
  const child = spawn(program, args, { env, stdio: 'inherit', detached: true });
  const pass = {};
  for (const signal of Object.keys(signals).filter((signal) => !OURS.includes(signal))) {
    pass[signal] = () => child.kill(signal);
  }
  // The kernel does not let a terminal's stop signals stop a session without a terminal.
  for (const signal of ['SIGTSTP', 'SIGTTIN', 'SIGTTOU']) {
    pass[signal] = () => {
      child.kill('SIGSTOP');
      process.kill(process.pid, 'SIGSTOP');
    };
  }
  for (const signal in pass) process.on(signal, pass[signal]);

  child.on('error', (error) => {
    process.stderr.write(`nodesockd: cannot run ${program}: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    if (signal) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    }
    process.exit(code ?? 128 + signals[signal]);
  });
}

module.exports = { launch };
