-- Certificates that users bring for their domains. The key never leaves for an API answer, a log or an event.
CREATE TABLE sni_endpoints (
  id TEXT PRIMARY KEY,
  app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
  -- Unique over all apps, as Heroku's are.
  name TEXT NOT NULL UNIQUE,
  -- Changes with the certificate, unlike the endpoint's own.
  certificate_id TEXT NOT NULL,
  -- PEM, the server's certificate first.
  certificate_chain TEXT NOT NULL,
  private_key TEXT NOT NULL,
  -- What the certificate says, as JSON.
  facts TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sni_endpoints_of_app ON sni_endpoints (app_id);
-- NULL: the domain has a certificate of the local CA.
ALTER TABLE domain_names ADD COLUMN sni_endpoint_id TEXT REFERENCES sni_endpoints (id) ON DELETE SET NULL;
