import { Ignitor } from '@adonisjs/core';

const root = new URL('../', import.meta.url);
const ignitor = new Ignitor(root, { importer: (path) => import(path.startsWith('.') ? new URL(path, root) : path) });
ignitor.tap((app) => {
  app.listen('SIGTERM', () => app.terminate());
});
await ignitor.httpServer().start();
