import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Database } from './database';

const FILE = /^(\d{4})-[a-z0-9-]+\.sql$/;

/**
 * Brings the schema up to date: each `NNNN-name.sql` above the database's version runs in a transaction of its
 * own. Forward only; a database that is newer than this program is refused rather than damaged.
 */
export function migrate(database: Database, folder = path.join(__dirname, 'migrations')): void {
  const migrations = readdirSync(folder)
    .flatMap((file) => {
      const match = FILE.exec(file);
      return match === null ? [] : [{ number: Number(match[1]), file }];
    })
    .sort((a, b) => a.number - b.number);
  // A gap or a number that two files bear would be skipped in silence.
  migrations.forEach(({ number, file }, index) => {
    if (number !== index + 1) throw new Error(`migration ${file} does not have the number ${index + 1}`);
  });
  const newest = migrations.at(-1)?.number ?? 0;
  if (database.schemaVersion > newest) {
    throw new Error(
      `The data folder was written by a newer dynodock (schema ${database.schemaVersion}, this one knows ${newest}). Update dynodock.`,
    );
  }
  for (const { number, file } of migrations) {
    if (number <= database.schemaVersion) continue;
    database.transaction(() => {
      database.execute(readFileSync(path.join(folder, file), 'utf8'));
      database.schemaVersion = number;
    });
  }
}
