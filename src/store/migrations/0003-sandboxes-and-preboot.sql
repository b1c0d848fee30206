-- Container id of the network sandbox that a dyno lives in.
ALTER TABLE dynos ADD COLUMN sandbox TEXT;
-- Preboot: serves on beside its successor of the same name.
ALTER TABLE dynos ADD COLUMN superseded INTEGER NOT NULL DEFAULT 0;
DROP INDEX live_dyno_names;
-- At most one dyno of a name that is neither on its way out nor superseded.
CREATE UNIQUE INDEX live_dyno_names ON dynos (app_id, type, number) WHERE state <> 'down' AND superseded = 0;
