-- When a machine left by itself, in seconds since the Unix epoch; NULL for a member.
ALTER TABLE members ADD COLUMN left_at INTEGER;
