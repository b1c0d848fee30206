/** What `heroku pg:diagnose` shows: the state of one database at one time. */
export interface Diagnosis {
  id: string;
  app: string;
  /** As it was asked for, e.g. `DATABASE_URL`. */
  database: string;
  checks: readonly DiagnosisCheck[];
  createdAt: Date;
}

export interface DiagnosisCheck {
  /** `Long Queries` */
  name: string;
  status: 'green' | 'yellow' | 'red' | 'skipped';
  /** What was found, a table; nothing is wrong with an empty one. */
  results: readonly Readonly<Record<string, string | number>>[];
}

/** Heroku keeps reports "for one month", as the CLI says. */
export const DIAGNOSIS_KEPT_MS = 30 * 24 * 60 * 60 * 1000;
