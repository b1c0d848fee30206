-- Backups, restores and copies of databases. They belong to an add-on and go with its data, which outlives its app.
CREATE TABLE transfers (
  id TEXT PRIMARY KEY,
  app_id TEXT NOT NULL,
  -- One sequence per app, over all kinds.
  num INTEGER NOT NULL,
  addon_id TEXT NOT NULL REFERENCES addons (id) ON DELETE CASCADE,
  kind TEXT NOT NULL CHECK (kind IN ('backup', 'restore', 'copy')),
  state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'succeeded', 'failed', 'canceled')),
  schedule TEXT,
  from_name TEXT NOT NULL,
  to_name TEXT NOT NULL,
  source_bytes INTEGER,
  processed_bytes INTEGER NOT NULL DEFAULT 0,
  warnings INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER,
  UNIQUE (app_id, num)
) STRICT;
CREATE INDEX transfers_of_addon ON transfers (addon_id);
CREATE INDEX transfers_under_way ON transfers (state) WHERE state IN ('pending', 'running');

CREATE TABLE transfer_logs (
  transfer_id TEXT NOT NULL REFERENCES transfers (id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  at INTEGER NOT NULL,
  message TEXT NOT NULL,
  PRIMARY KEY (transfer_id, position)
) STRICT, WITHOUT ROWID;

-- The number given last, so that one is not given again after its transfer was deleted.
CREATE TABLE transfer_numbers (
  app_id TEXT PRIMARY KEY,
  last INTEGER NOT NULL
) STRICT;

CREATE TABLE transfer_schedules (
  id TEXT PRIMARY KEY,
  addon_id TEXT NOT NULL REFERENCES addons (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  -- Taken because of the plan, without anybody having asked.
  automatic INTEGER NOT NULL,
  hour INTEGER NOT NULL CHECK (hour BETWEEN 0 AND 23),
  timezone TEXT NOT NULL,
  -- YYYY-MM-DD in its timezone; null = never.
  last_run_on TEXT,
  created_at INTEGER NOT NULL,
  UNIQUE (addon_id, name, automatic)
) STRICT;
