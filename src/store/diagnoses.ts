import type { Diagnosis, DiagnosisCheck } from '../domain/diagnosis';
import { date, json, text } from './columns';
import type { Database, Statement } from './database';

/** Reports about databases. */
export class DiagnosisStore {
  readonly #insert: Statement;
  readonly #byId: Statement;
  readonly #deleteBefore: Statement;

  constructor(database: Database) {
    this.#insert = database.prepare(
      'INSERT INTO diagnoses (id, app, database, checks, created_at) VALUES (@id, @app, @database, @checks, @createdAt)',
    );
    this.#byId = database.prepare('SELECT * FROM diagnoses WHERE id = @id');
    this.#deleteBefore = database.prepare('DELETE FROM diagnoses WHERE created_at < @at');
  }

  insert(diagnosis: Diagnosis): void {
    this.#insert.run({
      ...diagnosis,
      checks: JSON.stringify(diagnosis.checks),
      createdAt: diagnosis.createdAt.getTime(),
    });
  }

  get(id: string): Diagnosis | undefined {
    const row = this.#byId.get({ id });
    return row === undefined
      ? undefined
      : {
          id: text(row, 'id'),
          app: text(row, 'app'),
          database: text(row, 'database'),
          checks: json(row, 'checks') as DiagnosisCheck[],
          createdAt: date(row, 'created_at'),
        };
  }

  /** Those made before `at`. */
  deleteBefore(at: Date): void {
    this.#deleteBefore.run({ at: at.getTime() });
  }
}
