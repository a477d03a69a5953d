'use strict';

const { check, checkCount, checkOptions, isPlainObject, shown, wrong } = require('./arguments.js');
const { version } = require('../package.json');

const KINDS = { suspended: 'boolean', maxAttempts: 'count', upgrade: 'boolean', version: 'text', batch: 'countOrNone', wait: 'boolean', for: 'count', then: 'text', onProgress: 'function' };

/** Which options each of the methods has, and which of them 2.x takes by their place. */
const METHODS = {
  startWorkers: { options: ['suspended', 'maxAttempts', 'wait', 'onProgress'], places: ['suspended', 'maxAttempts'] },
  restartWorkers: {
    options: ['suspended', 'maxAttempts', 'upgrade', 'version', 'batch', 'wait', 'for', 'then', 'onProgress'],
    places: ['suspended', 'maxAttempts', 'upgrade'],
  },
};

/**
 * The arguments of `startWorkers` and `restartWorkers`: an object, or values in 2.x's order.
 *
 * @param {keyof typeof METHODS} method
 * @param {unknown[]} args
 * @returns {{data: object, onProgress?: (progress: object) => void}} what to send, and who is told about progress
 * @throws TypeError for arguments that are neither: a restart that is not suspended although it was meant to be does harm
 */
function startOptions(method, args) {
  const name = `${method}()`;
  const { options, places } = METHODS[method];
  const given = isPlainObject(args[0]) && args.length === 1 ? args[0] : byPlace(name, places, args);
  checkOptions(name, given, Object.fromEntries(options.map((option) => [option, KINDS[option]])));
  const { onProgress, upgrade, ...data } = given;
  if (upgrade) data.version ??= version;
  if (onProgress) data.progress = true;
  return { data, onProgress };
}

function byPlace(name, places, args) {
  if (typeof args[0] === 'object' || typeof args[0] === 'function') {
    throw wrong(name, `takes an object of options, or (${places.join(', ')}), not ${args.map(shown).join(', ')}`);
  }
  checkCount(name, args, places.length);
  const given = {};
  for (const [index, place] of places.entries()) {
    if (args[index] === undefined) continue;
    check(name, place, args[index], KINDS[place]);
    given[place] = args[index];
  }
  return given;
}

module.exports = { startOptions };
