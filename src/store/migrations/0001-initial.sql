-- Times are milliseconds since 1970 (UTC). Ids are UUIDs. JSON columns hold what is only ever read whole.

CREATE TABLE settings (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

CREATE TABLE accounts (
  id TEXT PRIMARY KEY,
  email TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL
) STRICT;

-- Only a hash is kept: whoever reads the database cannot use the API with it.
CREATE TABLE authorizations (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
  token_sha256 TEXT NOT NULL UNIQUE,
  description TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE apps (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  owner_id TEXT NOT NULL REFERENCES accounts (id),
  stack TEXT NOT NULL,
  build_stack TEXT NOT NULL,
  maintenance INTEGER NOT NULL DEFAULT 0,
  buildpack_provided_description TEXT,
  slug_size INTEGER NOT NULL DEFAULT 0,
  repo_size INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  released_at INTEGER
) STRICT;

-- What the next release takes; a release has its own copy.
CREATE TABLE config_vars (
  app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (app_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE buildpack_installations (
  app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
  ordinal INTEGER NOT NULL,
  url TEXT NOT NULL,
  PRIMARY KEY (app_id, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE app_features (
  app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  enabled INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (app_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE formations (
  id TEXT PRIMARY KEY,
  app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
  type TEXT NOT NULL,
  quantity INTEGER NOT NULL CHECK (quantity >= 0),
  size TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (app_id, type)
) STRICT;

CREATE TABLE slugs (
  id TEXT PRIMARY KEY,
  app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
  stack TEXT NOT NULL,
  commit_sha TEXT,
  commit_description TEXT,
  process_types TEXT NOT NULL,
  buildpack_provided_description TEXT,
  checksum TEXT NOT NULL,
  size INTEGER NOT NULL,
  image TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX slugs_of_app ON slugs (app_id);

CREATE TABLE releases (
  id TEXT PRIMARY KEY,
  app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
  version INTEGER NOT NULL,
  description TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed', 'expired')),
  slug_id TEXT REFERENCES slugs (id),
  config_vars TEXT NOT NULL,
  addon_plan_names TEXT NOT NULL DEFAULT '[]',
  user_id TEXT NOT NULL,
  user_email TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (app_id, version)
) STRICT;

CREATE TABLE builds (
  id TEXT PRIMARY KEY,
  app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
  status TEXT NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
  stack TEXT NOT NULL,
  version TEXT,
  version_description TEXT,
  buildpacks TEXT NOT NULL DEFAULT '[]',
  user_id TEXT NOT NULL,
  user_email TEXT NOT NULL,
  slug_id TEXT REFERENCES slugs (id),
  release_id TEXT REFERENCES releases (id),
  failure TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX builds_of_app ON builds (app_id, created_at);

CREATE TABLE dynos (
  id TEXT PRIMARY KEY,
  app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
  release_id TEXT NOT NULL REFERENCES releases (id) ON DELETE CASCADE,
  release_version INTEGER NOT NULL,
  type TEXT NOT NULL,
  number INTEGER NOT NULL,
  size TEXT NOT NULL,
  command TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('starting', 'up', 'idle', 'crashed', 'down')),
  port INTEGER,
  -- Where the router reaches it, once known.
  endpoint_host TEXT,
  endpoint_port INTEGER,
  crash_count INTEGER NOT NULL DEFAULT 0,
  next_start_at INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  started_at INTEGER
) STRICT;
-- At most one dyno of a name that is not on its way out.
CREATE UNIQUE INDEX live_dyno_names ON dynos (app_id, type, number) WHERE state <> 'down';

CREATE TABLE domain_names (
  id TEXT PRIMARY KEY,
  app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
  hostname TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL CHECK (kind IN ('heroku', 'custom')),
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

-- The audit trail outlives what it speaks of, hence no foreign key.
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  app_id TEXT,
  kind TEXT NOT NULL,
  payload TEXT NOT NULL,
  actor TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT;
CREATE INDEX events_of_app ON events (app_id, id);
