-- The release command that has to succeed before the release takes effect; NULL = none.
ALTER TABLE releases ADD COLUMN command TEXT;
