import type { Diagnosis } from '../../domain/diagnosis';

export function presentDiagnosis({
  id,
  app,
  database,
  checks,
  createdAt,
}: Diagnosis): Record<string, unknown> {
  return { id, app, database, created_at: createdAt, checks };
}
