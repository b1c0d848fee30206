-- Which revision of each of its buildpacks a build ran, in their order: a JSON list of texts. Empty where none is known.
ALTER TABLE builds ADD COLUMN buildpack_revisions TEXT NOT NULL DEFAULT '[]';
