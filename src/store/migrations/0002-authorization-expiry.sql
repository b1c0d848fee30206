-- Authorizations may expire and be changed (their description, their token).
ALTER TABLE authorizations ADD COLUMN expires_at INTEGER;
ALTER TABLE authorizations ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
UPDATE authorizations SET updated_at = created_at;
