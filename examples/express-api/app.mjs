import express from 'express';
import nodesockd from 'nodesockd';
import { read, write } from './database.mjs';

const app = express();
app.use(express.json());

// No request gets here while the worker is suspended: the migration has the database to itself.
app.get('/people', (req, res) => res.json({ worker: nodesockd.shortId, ...read() }));

app.post('/people', (req, res) => {
  const table = read();
  const row = Object.fromEntries(table.columns.map((column) => [column, req.body?.[column] ?? null]));
  table.rows.push(row);
  write(table);
  res.status(201).json(row);
});

// What a request may not do while suspended, the rest of the app may not either: `resumed` says when.
nodesockd.resumed.then(() => console.log(`${nodesockd.shortId ?? process.pid} works with columns ${read().columns.join(', ')}`));

// Clients and other workers may ask questions of their own.
nodesockd.setRequestHandler((request) => {
  if (request === 'memory') return process.memoryUsage.rss();
  throw new Error(`"${request}" is not something this app answers`);
});

await nodesockd.listen(app);
