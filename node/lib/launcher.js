'use strict';

const { spawn } = require('node:child_process');
const { signals } = require('node:os').constants;
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
  if (process.execve) process.execve(program, [program, ...args]);
  else attend(program, args);
}

/** Hands every signal down to the program, and its exit status up. */
function attend(program, args) {
  // In a session of its own it gets no signal from the terminal, but each of them from us, and so exactly once.
  const child = spawn(program, args, { stdio: 'inherit', detached: true });
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
