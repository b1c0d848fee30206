-- A set-up outlives its app, which is destroyed when nothing came of it: hence no foreign keys.
CREATE TABLE app_setups (
  id TEXT PRIMARY KEY,
  app_id TEXT NOT NULL,
  app_name TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
  stage TEXT NOT NULL CHECK (stage IN ('preparing', 'building', 'postdeploy', 'discarding', 'ended')),
  user_id TEXT NOT NULL,
  user_email TEXT NOT NULL,
  build_id TEXT,
  dyno_id TEXT,
  -- JSON: what is left of app.json to be done after the build. No config vars.
  after_build TEXT,
  manifest_errors TEXT NOT NULL,
  failure TEXT,
  postdeploy_output TEXT,
  postdeploy_exit_code INTEGER,
  resolved_success_url TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX unfinished_app_setups ON app_setups (stage) WHERE stage <> 'ended';
