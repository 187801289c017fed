-- How a model writes calls of tools; 'auto': as its chat template shows.
ALTER TABLE models ADD COLUMN tools TEXT NOT NULL DEFAULT 'auto';
