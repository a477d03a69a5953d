'use strict';

// 8 and 9: TypeScript projects written for 2.x compile against the package as it is installed, and run. The numbers are those
// of the table in docs/08-from-2.x.md.
const assert = require('node:assert/strict');
const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { Project } = require('./project.js');

const ours = path.join(__dirname, '..');
const sources = path.join(__dirname, 'types/compat');
const tsc = path.join(ours, 'node_modules/typescript/bin/tsc');

/** The ways in which a project of 2.x is compiled: its options, its app, what its package.json says. */
const MODES = {
  'classic `node`': { options: { module: 'commonjs', moduleResolution: 'node10', esModuleInterop: false }, app: 'app.ts' },
  'classic `node` with esModuleInterop': { options: { module: 'commonjs', moduleResolution: 'node10', esModuleInterop: true }, app: 'app.mts' },
  'NodeNext, CommonJS': { options: { module: 'nodenext', moduleResolution: 'nodenext' }, app: 'app.ts' },
  'NodeNext, ESM': { options: { module: 'nodenext', moduleResolution: 'nodenext' }, app: 'app.mts', type: 'module' },
};

/** Puts what `npm pack` packs where `npm install` would, and the types that 2.x projects have beside it. */
function install(project) {
  const modules = project.path('node_modules');
  fs.rmSync(modules, { recursive: true });
  fs.mkdirSync(path.join(modules, 'nodesockd'), { recursive: true });
  const archive = execFileSync('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', project.dir], { cwd: ours, encoding: 'utf8' }).trim();
  execFileSync('tar', ['-xzf', project.path(archive), '-C', path.join(modules, 'nodesockd'), '--strip-components=1']);
  for (const name of ['@types', 'express', 'undici-types']) {
    if (fs.existsSync(path.join(ours, 'node_modules', name))) fs.symlinkSync(path.join(ours, 'node_modules', name), path.join(modules, name));
  }
}

for (const [mode, { options, app, type = 'commonjs' }] of Object.entries(MODES)) {
  test(`1, 8 and 9: a project compiles with \`tsc --strict\` and runs: ${mode}`, async (t) => {
    const project = new Project(t, 'readme.js', { config: 'name: shop' });
    install(project);
    fs.mkdirSync(project.path('src'));
    fs.copyFileSync(path.join(sources, app), project.path('src/app.ts'));
    for (const name of ['snippets.ts', 'exports.ts']) fs.copyFileSync(path.join(sources, name), project.path('src', name));
    fs.writeFileSync(project.path('package.json'), JSON.stringify({ name: 'shop', type }));
    const compilerOptions = { strict: true, target: 'es2022', rootDir: 'src', outDir: 'build', types: ['node'], ...options };
    fs.writeFileSync(project.path('tsconfig.json'), JSON.stringify({ compilerOptions, include: ['src'] }));
    const { status, stdout } = spawnSync(process.execPath, [tsc, '--project', project.dir], { encoding: 'utf8' });
    assert.equal(`${stdout}${status}`, '0');

    fs.writeFileSync(project.path('nodesockd.yml'), 'script: build/app.js\ntmpDir: tmp\nname: shop\n');
    const client = await project.start();
    const [{ id }] = await project.workers(client);
    assert.equal((await project.get()).body, `typed shop worker '${id.slice(-5)}'`);
  });
}

test('1: a project may import all of the package by one name, whatever its compiler makes of it', async (t) => {
  const project = new Project(t, 'readme.js');
  install(project);
  fs.writeFileSync(project.path('all.ts'), "import * as lib from 'nodesockd';\nimport other from 'nodesockd';\nconsole.log(lib.nodesockd === other, typeof lib.nodesockd.reportOnline);\n");
  for (const options of [['--module', 'commonjs', '--moduleResolution', 'node10'], ['--module', 'nodenext']]) {
    const { status, stdout } = spawnSync(process.execPath, [tsc, '--strict', '--esModuleInterop', '--types', 'node', ...options, project.path('all.ts')], { cwd: project.dir, encoding: 'utf8' });
    assert.equal(`${stdout}${status}`, '0');
    assert.equal((await project.node('all.js').ended).output, 'true function\n');
  }
});

test('9: a resolver that does not know `exports` finds the client', async (t) => {
  const project = new Project(t, 'readme.js');
  install(project);
  const { main, module, types } = JSON.parse(fs.readFileSync(project.path('node_modules/nodesockd/client/package.json'), 'utf8'));
  for (const file of [main, module, types]) assert.ok(fs.existsSync(project.path('node_modules/nodesockd/client', file)), file);
});
