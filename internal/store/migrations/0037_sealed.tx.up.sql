-- Work on rows that takes more than SQL; it goes when it is done.
CREATE TABLE chores (
  name TEXT PRIMARY KEY
);

--bun:split

-- Variables of sandboxes and builds of snapshots are sealed from now on.
INSERT INTO chores (name) VALUES ('seal');
