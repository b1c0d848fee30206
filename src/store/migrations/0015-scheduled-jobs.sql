-- Jobs of Heroku Scheduler. They stay with their add-on as long as that can be had back.
CREATE TABLE scheduled_jobs (
  id TEXT PRIMARY KEY,
  addon_id TEXT NOT NULL REFERENCES addons (id) ON DELETE CASCADE,
  command TEXT NOT NULL,
  -- NULL: what a one-off dyno of the app has.
  size TEXT,
  frequency TEXT NOT NULL,
  -- Each time up to here at which it was due has been dealt with, and never is again.
  settled_until INTEGER NOT NULL,
  last_run_at INTEGER,
  last_dyno_id TEXT,
  last_dyno TEXT,
  -- NULL with a last_run_at: it is running.
  last_outcome TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX scheduled_jobs_of_addon ON scheduled_jobs (addon_id);
CREATE INDEX scheduled_jobs_by_dyno ON scheduled_jobs (last_dyno_id);
