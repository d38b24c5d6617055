-- Names are compared and sorted by their bytes, whatever the locale of the database.
ALTER TABLE sandboxes ALTER COLUMN id TYPE TEXT COLLATE "C", ALTER COLUMN name TYPE TEXT COLLATE "C", ALTER COLUMN state TYPE TEXT COLLATE "C";

--bun:split

ALTER TABLE snapshots ALTER COLUMN id TYPE TEXT COLLATE "C", ALTER COLUMN name TYPE TEXT COLLATE "C", ALTER COLUMN state TYPE TEXT COLLATE "C";
