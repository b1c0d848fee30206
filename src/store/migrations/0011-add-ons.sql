-- An add-on outlives its app for as long as its data can be had back, hence no foreign key.
CREATE TABLE addons (
  id TEXT PRIMARY KEY,
  app_id TEXT NOT NULL,
  app_name TEXT NOT NULL,
  name TEXT NOT NULL,
  service TEXT NOT NULL,
  plan TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('provisioning', 'provisioned', 'deprovisioning', 'deprovisioned')),
  -- Secrets among it, like those of config_vars.
  config TEXT NOT NULL,
  options TEXT NOT NULL,
  provision_message TEXT,
  failure TEXT,
  announced INTEGER NOT NULL DEFAULT 0,
  attach_as TEXT,
  -- Where its container is reached and how it fares.
  port INTEGER,
  failures INTEGER NOT NULL DEFAULT 0,
  next_start_at INTEGER,
  ended_at INTEGER,
  problem TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  provisioned_at INTEGER,
  deprovisioned_at INTEGER
) STRICT;
CREATE INDEX addons_of_app ON addons (app_id);
-- A name can be given again once its add-on is destroyed; a port only once its data is gone as well.
CREATE UNIQUE INDEX live_addon_names ON addons (name) WHERE state <> 'deprovisioned';
CREATE UNIQUE INDEX addon_ports ON addons (port);

CREATE TABLE addon_attachments (
  id TEXT PRIMARY KEY,
  addon_id TEXT NOT NULL REFERENCES addons (id) ON DELETE CASCADE,
  app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  namespace TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (app_id, name)
) STRICT;
CREATE INDEX attachments_of_addon ON addon_attachments (addon_id);

-- The attachment that a config var comes from, which is the only one to change it; NULL = users set it.
ALTER TABLE config_vars ADD COLUMN attachment_id TEXT REFERENCES addon_attachments (id) ON DELETE CASCADE;
-- Which of a release's config vars were of attachments: a rollback leaves those alone.
ALTER TABLE releases ADD COLUMN attachment_vars TEXT NOT NULL DEFAULT '[]';
