-- Services of the Add-on Partner API: manifests that the user has registered, or put into a file.
CREATE TABLE partner_services (
  service TEXT PRIMARY KEY,
  -- JSON as it was given, with its secrets.
  manifest TEXT NOT NULL,
  environment TEXT NOT NULL CHECK (environment IN ('production', 'test')),
  client_secret TEXT NOT NULL,
  -- Its name in the folder of services; NULL = it was registered by a command.
  file TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;

-- What is known of an add-on at its partner. It outlives the add-on's row until the partner has let go of it: hence no
-- foreign key.
CREATE TABLE partner_resources (
  addon_id TEXT PRIMARY KEY,
  service TEXT NOT NULL,
  phase TEXT NOT NULL CHECK (phase IN ('asking', 'accepted', 'held', 'leaving', 'parting', 'gone')),
  provider_id TEXT,
  wanted_plan TEXT,
  attempts INTEGER NOT NULL DEFAULT 0,
  next_attempt_at INTEGER,
  deadline INTEGER,
  problem TEXT,
  log_token TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE partner_grants (
  code_sha256 TEXT PRIMARY KEY,
  addon_id TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX partner_grants_of_addon ON partner_grants (addon_id);

CREATE TABLE partner_tokens (
  id TEXT PRIMARY KEY,
  addon_id TEXT NOT NULL,
  access_sha256 TEXT NOT NULL UNIQUE,
  expires_at INTEGER NOT NULL,
  refresh_sha256 TEXT NOT NULL UNIQUE
) STRICT;
CREATE INDEX partner_tokens_of_addon ON partner_tokens (addon_id);
