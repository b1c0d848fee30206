-- What an archive was fetched from; NULL for a build of a pushed commit.
ALTER TABLE builds ADD COLUMN source_url TEXT;
ALTER TABLE builds ADD COLUMN source_checksum TEXT;

-- 1: its archive was made elsewhere, and is put in order whenever an image is made of it.
ALTER TABLE slugs ADD COLUMN uploaded INTEGER NOT NULL DEFAULT 0;
-- The slug of another app that it is a copy of. That one may be gone.
ALTER TABLE slugs ADD COLUMN copied_from TEXT;

-- Slugs that were announced through the API; the first release of one makes it a slug of the same id.
CREATE TABLE slug_uploads (
  id TEXT PRIMARY KEY,
  app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
  stack TEXT NOT NULL,
  commit_sha TEXT,
  commit_description TEXT,
  process_types TEXT NOT NULL,
  buildpack_provided_description TEXT,
  -- As the client expects it.
  checksum TEXT,
  -- Of what was uploaded; NULL before that.
  size INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX slug_uploads_of_app ON slug_uploads (app_id);
