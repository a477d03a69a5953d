// Adds a column to the table. Safe to run again.
import { setTimeout } from 'node:timers/promises';
import { read, write } from './database.mjs';

const column = process.argv[2] ?? 'email';
const table = read();
if (table.columns.includes(column)) {
  console.log(`There is a column "${column}" already.`);
} else {
  table.columns.push(column);
  for (const row of table.rows) {
    row[column] = null;
    // Real migrations take their time, and requests wait for them.
    await setTimeout(100);
  }
  write(table);
  console.log(`Added the column "${column}" to ${table.rows.length} rows.`);
}
