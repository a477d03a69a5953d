'use strict';

// An Express app that only knows its port, and gives every request its number back.

const express = require('express');
const { nodesockd } = require('nodesockd'); // for what it says of itself alone

const app = express();
app.use(express.text({ type: () => true }));
app.use((req, res) => {
  const number = req.method === 'POST' ? req.body : req.url.slice(1);
  res.json({ number, worker: nodesockd.id, suspended: nodesockd.suspended });
});
app.listen(3000);
