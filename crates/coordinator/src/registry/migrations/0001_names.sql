-- Tables are named for what they hold.
ALTER TABLE facts RENAME TO metadata;
ALTER TABLE standings RENAME TO reliability;
