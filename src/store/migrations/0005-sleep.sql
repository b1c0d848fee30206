-- How an app sleeps where it differs from the installation's settings; NULL = as those say.
CREATE TABLE app_sleep (
  app_id TEXT PRIMARY KEY REFERENCES apps (id) ON DELETE CASCADE,
  -- 0 = never.
  idle_after_ms INTEGER,
  depth TEXT CHECK (depth IN ('stopped', 'frozen', 'tiered')),
  -- Tiered: how long it stays frozen before it is stopped.
  frozen_ms INTEGER,
  updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- The wake ledger: what woke an app, and when each phase was over.
CREATE TABLE wakes (
  id TEXT PRIMARY KEY,
  app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
  cause TEXT NOT NULL CHECK (cause IN ('request', 'command')),
  -- Of the request that was held first; NULL for a command.
  method TEXT,
  path TEXT,
  request_id TEXT,
  fwd TEXT,
  depth TEXT NOT NULL CHECK (depth IN ('stopped', 'frozen')),
  asked_at INTEGER NOT NULL,
  decided_at INTEGER NOT NULL,
  running_at INTEGER,
  up_at INTEGER,
  first_byte_at INTEGER,
  -- Requests that waited when the dyno was up.
  held INTEGER
) STRICT;
CREATE INDEX wakes_of_app ON wakes (app_id, asked_at);
-- Seconds that dynos of sleeping sizes ran, by calendar month (UTC). Outlives the app, hence no foreign key.
CREATE TABLE dyno_hours (
  month TEXT NOT NULL,
  app_id TEXT NOT NULL,
  seconds INTEGER NOT NULL,
  PRIMARY KEY (month, app_id)
) STRICT, WITHOUT ROWID;
