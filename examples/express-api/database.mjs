// A database in a file: it has a schema that a release may be too new for, which is all this example needs. It has no
// transactions: of two rows that two workers add at the same moment, one may be lost.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';

const file = new URL('run/database.json', import.meta.url);
const empty = { columns: ['name'], rows: [] };

/** The whole table. */
export function read() {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return structuredClone(empty);
    throw error;
  }
}

/** Replaces it, all or nothing. */
export function write(table) {
  const next = new URL(`run/database.${process.pid}.json`, import.meta.url);
  writeFileSync(next, JSON.stringify(table, null, 2));
  renameSync(next, file);
}
