'use strict';

// Checks of what callers pass. A wrong argument is an error at once: one that is ignored does the wrong thing later.

/** The longest time that a timer of Node takes, in ms. */
const LONGEST = 2 ** 31 - 1;

/** A TypeError that names the method and says what is wrong. */
function wrong(method, problem) {
  return new TypeError(`${method}: ${problem}`);
}

/** `value` in a message, short. */
function shown(value) {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === 'function') return 'a function';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object' && value !== null) return `an object (${value.constructor?.name ?? 'without a prototype'})`;
  return typeof value === 'bigint' ? `${value}n` : String(value);
}

function isPlainObject(value) {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  // Not `=== Object.prototype`: test runners and `node:vm` have an `Object` of their own.
  return prototype === null || (Object.getPrototypeOf(prototype) === null && !Array.isArray(value));
}

/** What an option may be: its words, and whether a value fits. */
const KINDS = {
  boolean: ['true or false', (value) => typeof value === 'boolean'],
  count: ['a whole number of at least 1', (value) => Number.isSafeInteger(value) && value >= 1],
  countOrNone: ['a whole number of at least 0', (value) => Number.isSafeInteger(value) && value >= 0],
  function: ['a function', (value) => typeof value === 'function'],
  string: ['a string', (value) => typeof value === 'string'],
  text: ['a string that is not empty', (value) => typeof value === 'string' && value !== ''],
  // 0 and Infinity mean: for ever.
  time: ['a number of milliseconds, or 0 for no limit', (value) => value === Infinity || (value >= 0 && value <= LONGEST && typeof value === 'number')],
};

/** Throws unless `value` is of that kind. */
function check(method, name, value, kind) {
  const [words, fits] = KINDS[kind];
  if (!fits(value)) throw wrong(method, `\`${name}\` must be ${words}, not ${shown(value)}`);
}

/**
 * Throws unless `options` is an object with no other keys than those of `kinds`, each of its kind or undefined. An unknown key
 * is a misspelt one.
 */
function checkOptions(method, options, kinds) {
  if (!isPlainObject(options)) throw wrong(method, `the options must be an object, not ${shown(options)}`);
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(kinds, name)) throw wrong(method, `unknown option \`${name}\`; there are ${Object.keys(kinds).join(', ')}`);
    if (value !== undefined) check(method, name, value, kinds[name]);
  }
}

/** Throws if there are more arguments than a method takes. */
function checkCount(method, args, most) {
  const extra = args.slice(most).find((value) => value !== undefined);
  if (extra !== undefined) throw wrong(method, `takes ${most || 'no'} argument${most === 1 ? '' : 's'}, got ${shown(extra)} besides`);
}

/** Throws unless that can be sent: a message or request, whatever JSON can express, and a selector or nothing. */
function checkSending(method, kind, name, data, workers) {
  check(method, kind, name, 'string');
  if (typeof data === 'function' || typeof data === 'symbol') throw wrong(method, `\`data\` must be something that JSON can express, not ${shown(data)}`);
  if (workers !== undefined) check(method, 'workers', workers, 'text');
}

module.exports = { check, checkCount, checkOptions, checkSending, isPlainObject, shown, wrong };
