-- Reports of pg:diagnose, which can be shown again for a month. They outlive their database.
CREATE TABLE diagnoses (
  id TEXT PRIMARY KEY,
  app TEXT NOT NULL,
  database TEXT NOT NULL,
  checks TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX diagnoses_by_age ON diagnoses (created_at);
