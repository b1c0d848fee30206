-- Of a release of the container stack: an image per process type; NULL for a slug that buildpacks have made.
ALTER TABLE slugs ADD COLUMN images TEXT;
-- Whose image a one-off dyno runs; NULL = that of web.
ALTER TABLE one_off_dynos ADD COLUMN process_type TEXT;
