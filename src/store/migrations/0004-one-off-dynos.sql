-- What a dyno has that was started by hand; dynos of the formation have no row here.
CREATE TABLE one_off_dynos (
  dyno_id TEXT PRIMARY KEY REFERENCES dynos (id) ON DELETE CASCADE,
  attached INTEGER NOT NULL,
  -- Of its terminal; NULL without one.
  columns INTEGER,
  rows INTEGER,
  env TEXT NOT NULL,
  expires_at INTEGER
) STRICT, WITHOUT ROWID;
