import { randomUUID } from 'node:crypto';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import path from 'node:path';
import { Blobs, type Blob } from './blobs.ts';
import type { Checksum } from './checksums.ts';

/** What an object is besides its bytes. */
export interface ObjectFacts {
  /** Lower-case names: `content-type`, `x-amz-meta-…`. */
  headers: Readonly<Record<string, string>>;
  isPublic: boolean;
  tags: Readonly<Record<string, string>>;
}

export interface StoredObject extends ObjectFacts {
  key: string;
  size: number;
  /** Without quotes. */
  etag: string;
  modifiedAt: Date;
  checksum: Checksum | undefined;
  blobs: readonly Blob[];
}

export interface Upload extends ObjectFacts {
  id: string;
  key: string;
  startedAt: Date;
}

export interface Part {
  number: number;
  size: number;
  etag: string;
  modifiedAt: Date;
  checksum: Checksum | undefined;
  blob: Blob;
}

export interface ListOptions {
  prefix: string;
  delimiter: string;
  /** Only what comes after it. */
  after: string;
  limit: number;
}

export interface Listing {
  objects: StoredObject[];
  commonPrefixes: string[];
  isTruncated: boolean;
  /** The last key or common prefix. */
  last: string | undefined;
}

const SCHEMA = `
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS objects (key TEXT PRIMARY KEY, size INTEGER NOT NULL, facts TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (id TEXT PRIMARY KEY, key TEXT NOT NULL, facts TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (upload_id TEXT NOT NULL, number INTEGER NOT NULL, facts TEXT NOT NULL,
  PRIMARY KEY (upload_id, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
`;

/**
 * A bucket: an SQLite file with what there is, and the bytes in files beside it. Bytes are on the disk before the row
 * that names them, and the row is on the disk (`synchronous = FULL`) before a request is answered: what was
 * acknowledged outlives a kill and a power cut, and an object is either the old one or the new one.
 */
export class BucketStore {
  readonly blobs: Blobs;
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  private constructor(database: DatabaseSync, blobs: Blobs) {
    this.#database = database;
    this.blobs = blobs;
  }

  static async open(folder: string): Promise<BucketStore> {
    const database = new DatabaseSync(path.join(folder, 'bucket.sqlite'));
    database.exec(SCHEMA);
    const blobs = new Blobs(path.join(folder, 'blobs'));
    const store = new BucketStore(database, blobs);
    const wanted = store.#allBlobs();
    await blobs.open((id) => wanted.has(id));
    return store;
  }

  close(): void {
    this.#database.close();
  }

  get(key: string): StoredObject | undefined {
    const row = this.#statement('SELECT key, facts FROM objects WHERE key = ?').get(key);
    return row === undefined ? undefined : readObject(row);
  }

  /** In place of what has its key, if `mayReplace` says so of that at the moment of writing. */
  async put(
    object: StoredObject,
    mayReplace: (before: StoredObject | undefined) => void = () => undefined,
  ): Promise<void> {
    let before: StoredObject | undefined;
    this.#transaction(() => {
      before = this.get(object.key);
      mayReplace(before);
      this.#insertObject(object);
    });
    await this.blobs.discard(without(before?.blobs, object.blobs));
  }

  async delete(key: string): Promise<void> {
    const before = this.get(key);
    if (before === undefined) return;
    this.#statement('DELETE FROM objects WHERE key = ?').run(key);
    await this.blobs.discard(before.blobs);
  }

  /** Keys are in the order of their UTF-8 bytes, as SQLite compares them. Folders are passed over, not read through. */
  list({ prefix, delimiter, after, limit }: ListOptions): Listing {
    const objects: StoredObject[] = [];
    const commonPrefixes: string[] = [];
    const next = this.#statement(
      'SELECT key, facts FROM objects WHERE key >= ? AND key > ? ORDER BY key LIMIT 1',
    );
    let from = prefix;
    // One that was answered as a common prefix stands for all below it.
    let past = after;
    if (
      delimiter !== '' &&
      after.startsWith(prefix) &&
      after.endsWith(delimiter) &&
      after.length > prefix.length
    ) {
      from = afterAll(after);
    }
    let last: string | undefined;
    for (;;) {
      const row = next.get(from, past);
      const object = row === undefined ? undefined : readObject(row);
      if (!object?.key.startsWith(prefix)) return { objects, commonPrefixes, isTruncated: false, last };
      if (objects.length + commonPrefixes.length >= limit) {
        return { objects, commonPrefixes, isTruncated: true, last };
      }
      const at = delimiter === '' ? -1 : object.key.indexOf(delimiter, prefix.length);
      if (at === -1) {
        objects.push(object);
        last = past = object.key;
      } else {
        last = object.key.slice(0, at + delimiter.length);
        commonPrefixes.push(last);
        from = afterAll(last);
      }
    }
  }

  startUpload(key: string, facts: ObjectFacts, now: Date): string {
    const id = randomUUID();
    this.#statement('INSERT INTO uploads (id, key, facts) VALUES (?, ?, ?)').run(
      id,
      key,
      JSON.stringify({ ...facts, startedAt: now.getTime() }),
    );
    return id;
  }

  findUpload(id: string, key: string): Upload | undefined {
    const row = this.#statement('SELECT id, key, facts FROM uploads WHERE id = ? AND key = ?').get(id, key);
    return row === undefined ? undefined : readUpload(row);
  }

  uploads(prefix: string): Upload[] {
    return this.#statement('SELECT id, key, facts FROM uploads ORDER BY key, id')
      .all()
      .map(readUpload)
      .filter(({ key }) => key.startsWith(prefix));
  }

  parts(uploadId: string): Part[] {
    return this.#statement('SELECT number, facts FROM parts WHERE upload_id = ? ORDER BY number')
      .all(uploadId)
      .map(readPart);
  }

  /** In place of one of the same number. Answers false if the upload has ended meanwhile. */
  async putPart(upload: Upload, part: Part): Promise<boolean> {
    let before: Part | undefined;
    const isKept = this.#transaction(() => {
      if (this.findUpload(upload.id, upload.key) === undefined) return false;
      const row = this.#statement('SELECT number, facts FROM parts WHERE upload_id = ? AND number = ?').get(
        upload.id,
        part.number,
      );
      before = row === undefined ? undefined : readPart(row);
      const { number, modifiedAt, ...facts } = part;
      this.#statement('INSERT OR REPLACE INTO parts (upload_id, number, facts) VALUES (?, ?, ?)').run(
        upload.id,
        number,
        JSON.stringify({ ...facts, modifiedAt: modifiedAt.getTime() }),
      );
      return true;
    });
    await this.blobs.discard(isKept ? (before === undefined ? [] : [before.blob]) : [part.blob]);
    return isKept;
  }

  /** The parts become an object, without being copied. Answers false if the upload has ended meanwhile. */
  async completeUpload(
    upload: Upload,
    object: StoredObject,
    mayReplace: (before: StoredObject | undefined) => void,
  ): Promise<boolean> {
    let before: StoredObject | undefined;
    let parts: Part[] = [];
    const isDone = this.#transaction(() => {
      if (this.findUpload(upload.id, upload.key) === undefined) return false;
      before = this.get(object.key);
      mayReplace(before);
      parts = this.parts(upload.id);
      this.#insertObject(object);
      this.#deleteUpload(upload.id);
      return true;
    });
    if (!isDone) return false;
    await this.blobs.discard([
      ...(before?.blobs ?? []),
      ...without(
        parts.map(({ blob }) => blob),
        object.blobs,
      ),
    ]);
    return true;
  }

  async abortUpload(upload: Upload): Promise<void> {
    const parts = this.parts(upload.id);
    this.#transaction(() => this.#deleteUpload(upload.id));
    await this.blobs.discard(parts.map(({ blob }) => blob));
  }

  setting(name: string): string | undefined {
    return this.#statement('SELECT value FROM settings WHERE name = ?').get(name)?.['value'] as
      string | undefined;
  }

  /** null removes it. */
  setSetting(name: string, value: string | null): void {
    if (value === null) this.#statement('DELETE FROM settings WHERE name = ?').run(name);
    else this.#statement('INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)').run(name, value);
  }

  #insertObject({ key, size, modifiedAt, ...facts }: StoredObject): void {
    this.#statement('INSERT OR REPLACE INTO objects (key, size, facts) VALUES (?, ?, ?)').run(
      key,
      size,
      JSON.stringify({ ...facts, size, modifiedAt: modifiedAt.getTime() }),
    );
  }

  #deleteUpload(id: string): void {
    this.#statement('DELETE FROM parts WHERE upload_id = ?').run(id);
    this.#statement('DELETE FROM uploads WHERE id = ?').run(id);
  }

  #allBlobs(): Set<string> {
    const objects = this.#statement('SELECT key, facts FROM objects').all().map(readObject);
    const parts = this.#statement('SELECT number, facts FROM parts').all().map(readPart);
    return new Set([
      ...objects.flatMap(({ blobs }) => blobs.map(({ id }) => id)),
      ...parts.map(({ blob }) => blob.id),
    ]);
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) this.#statements.set(sql, (statement = this.#database.prepare(sql)));
    return statement;
  }

  #transaction<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      // A full disk has rolled it back already.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }
}

type Row = Readonly<Record<string, unknown>>;

function readObject(row: Row): StoredObject {
  const facts = JSON.parse(String(row['facts'])) as Omit<StoredObject, 'key' | 'modifiedAt'> & {
    modifiedAt: number;
  };
  return { ...facts, key: String(row['key']), modifiedAt: new Date(facts.modifiedAt) };
}

function readUpload(row: Row): Upload {
  const facts = JSON.parse(String(row['facts'])) as ObjectFacts & { startedAt: number };
  return { ...facts, id: String(row['id']), key: String(row['key']), startedAt: new Date(facts.startedAt) };
}

function readPart(row: Row): Part {
  const facts = JSON.parse(String(row['facts'])) as Omit<Part, 'number' | 'modifiedAt'> & {
    modifiedAt: number;
  };
  return { ...facts, number: Number(row['number']), modifiedAt: new Date(facts.modifiedAt) };
}

function without(blobs: readonly Blob[] | undefined, kept: readonly Blob[]): Blob[] {
  const ids = new Set(kept.map(({ id }) => id));
  return (blobs ?? []).filter(({ id }) => !ids.has(id));
}

/** The first text that is greater than all that begin with this one: as SQLite compares, byte by byte. */
function afterAll(prefix: string): string {
  const points = Array.from(prefix);
  const last = points.pop()?.codePointAt(0) ?? 0;
  // Surrogates are no code points of UTF-8; behind the last code point there is none.
  const next = last === 0xd7ff ? 0xe000 : last + 1;
  return points.join('') + (next > 0x10ffff ? '\u{10ffff}\u{10ffff}' : String.fromCodePoint(next));
}
