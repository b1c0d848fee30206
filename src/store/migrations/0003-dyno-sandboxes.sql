-- Container id of the network sandbox that a dyno lives in.
ALTER TABLE dynos ADD COLUMN sandbox TEXT;
