import Sqlite from 'better-sqlite3';

export type Row = Record<string, unknown>;

/** A prepared statement with named parameters (`@name`) answering rows. */
export interface Statement {
  run(parameters?: Row): { changes: number };
  get(parameters?: Row): Row | undefined;
  all(parameters?: Row): Row[];
}

/**
 * SQLite, synchronous on purpose: a transaction can't be interleaved with another one, and there is nothing to
 * await inside it. WAL with synchronous=FULL: what was committed survives a kill and a power cut.
 */
export class Database {
  readonly #sqlite: Sqlite.Database;

  /** `path` of the file, or `:memory:` */
  constructor(path: string) {
    this.#sqlite = new Sqlite(path);
    this.#sqlite.pragma('journal_mode = WAL');
    this.#sqlite.pragma('synchronous = FULL');
    this.#sqlite.pragma('foreign_keys = ON');
    // Another process (a backup, the sqlite3 shell) may hold the lock for a moment.
    this.#sqlite.pragma('busy_timeout = 5000');
  }

  prepare(sql: string): Statement {
    return this.#sqlite.prepare<[Row?], Row>(sql);
  }

  /** Several statements, for migrations. */
  execute(sql: string): void {
    this.#sqlite.exec(sql);
  }

  /** All or nothing; nested calls become savepoints. */
  transaction<T>(work: () => T): T {
    return this.#sqlite.transaction(work).immediate();
  }

  get schemaVersion(): number {
    return Number(this.#sqlite.pragma('user_version', { simple: true }));
  }

  set schemaVersion(version: number) {
    this.#sqlite.pragma(`user_version = ${version}`);
  }

  close(): void {
    this.#sqlite.close();
  }
}

/** Is this the failure of a UNIQUE constraint (e.g. a name that is taken)? By its code, since the class may be loaded twice. */
export function isUniqueViolation(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === 'SQLITE_CONSTRAINT_UNIQUE';
}
