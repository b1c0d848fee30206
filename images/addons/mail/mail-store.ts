import { DatabaseSync } from 'node:sqlite';
import path from 'node:path';

export interface Envelope {
  from: string;
  to: readonly string[];
}

export interface AttachmentSummary {
  filename: string;
  contentType: string;
  size: number;
}

/** What lists show: read out of a message once, when it comes. */
export interface Summary {
  /** As a header says it: `Ada <ada@example.com>`. */
  from: string;
  to: string;
  cc: string;
  subject: string;
  /** As the sender says; null = it does not, or not in a way that can be read. */
  date: string | null;
  attachments: readonly AttachmentSummary[];
  hasHtml: boolean;
  /** Why it can't be shown except as it came; null = it can. */
  problem: string | null;
}

export interface StoredMessage {
  id: number;
  receivedAt: Date;
  /** In bytes, as it came. */
  size: number;
  envelope: Envelope;
  summary: Summary;
}

export interface MessageFilter {
  /** A part of a recipient's address, whatever the case. */
  to?: string | undefined;
  /** A part of it, whatever the case. */
  subject?: string | undefined;
  limit: number;
}

const SCHEMA = `
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT, received_at INTEGER NOT NULL, size INTEGER NOT NULL,
  recipients TEXT NOT NULL, subject TEXT NOT NULL, facts TEXT NOT NULL, raw BLOB NOT NULL);
`;
const COLUMNS = 'id, received_at, size, facts';

/**
 * Messages in one SQLite file, each on the disk (`synchronous = FULL`) before its sender is told so. Bounded in number
 * and in bytes: with each new one the oldest beyond the bounds go, in the same transaction.
 */
export class MailStore {
  readonly #database: DatabaseSync;
  readonly #maxMessages: number;
  readonly #maxBytes: number;

  constructor(folder: string, bounds: { maxMessages: number; maxBytes: number }) {
    this.#database = new DatabaseSync(path.join(folder, 'mail.sqlite'));
    this.#database.exec(SCHEMA);
    this.#maxMessages = bounds.maxMessages;
    this.#maxBytes = bounds.maxBytes;
    // After a change to a smaller plan.
    this.#transaction(() => this.#prune());
  }

  close(): void {
    this.#database.close();
  }

  add(raw: Buffer, envelope: Envelope, summary: Summary, now: Date): number {
    return this.#transaction(() => {
      const { lastInsertRowid } = this.#database
        .prepare(
          'INSERT INTO messages (received_at, size, recipients, subject, facts, raw) VALUES (?, ?, ?, ?, ?, ?)',
        )
        .run(
          now.getTime(),
          raw.length,
          envelope.to.join('\n').toLowerCase(),
          summary.subject.toLowerCase(),
          JSON.stringify({ envelope, summary }),
          raw,
        );
      this.#prune();
      return Number(lastInsertRowid);
    });
  }

  /** The newest first. */
  list({ to, subject, limit }: MessageFilter): StoredMessage[] {
    return this.#database
      .prepare(
        `SELECT ${COLUMNS} FROM messages WHERE instr(recipients, ?) > 0 AND instr(subject, ?) > 0
         ORDER BY id DESC LIMIT ?`,
      )
      .all((to ?? '').toLowerCase(), (subject ?? '').toLowerCase(), limit)
      .map(readMessage);
  }

  /** Of all that are kept. */
  count(): number {
    return Number(this.#database.prepare('SELECT count(*) AS count FROM messages').get()?.['count'] ?? 0);
  }

  get(id: number): (StoredMessage & { raw: Buffer }) | undefined {
    const row = this.#database.prepare(`SELECT ${COLUMNS}, raw FROM messages WHERE id = ?`).get(id);
    return row === undefined
      ? undefined
      : { ...readMessage(row), raw: Buffer.from(row['raw'] as Uint8Array) };
  }

  /** Answers whether there was one. */
  delete(id: number): boolean {
    return Number(this.#database.prepare('DELETE FROM messages WHERE id = ?').run(id).changes) > 0;
  }

  deleteAll(): void {
    this.#database.prepare('DELETE FROM messages').run();
  }

  #prune(): void {
    this.#database
      .prepare(
        `DELETE FROM messages WHERE id IN (
           SELECT id FROM (
             SELECT id, row_number() OVER newest AS place, sum(size) OVER newest AS bytes
             FROM messages WINDOW newest AS (ORDER BY id DESC))
           WHERE place > ? OR bytes > ?)`,
      )
      .run(this.#maxMessages, this.#maxBytes);
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

function readMessage(row: Readonly<Record<string, unknown>>): StoredMessage {
  const { envelope, summary } = JSON.parse(String(row['facts'])) as { envelope: Envelope; summary: Summary };
  return {
    id: Number(row['id']),
    receivedAt: new Date(Number(row['received_at'])),
    size: Number(row['size']),
    envelope,
    summary,
  };
}
