-- What names a content: its build, its log, its hold on its image. Until now
-- the snapshot's id did.
ALTER TABLE snapshots ADD COLUMN revision TEXT NOT NULL DEFAULT '';

--bun:split

UPDATE snapshots SET revision = id;

--bun:split

-- The snapshot whose next content a row is; '' for a snapshot of its own.
ALTER TABLE snapshots ADD COLUMN replaces TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE snapshots ADD COLUMN entrypoint_given BOOLEAN NOT NULL DEFAULT FALSE;

--bun:split

-- An update has its snapshot's name.
DROP INDEX snapshots_name;

--bun:split

CREATE UNIQUE INDEX snapshots_name ON snapshots (organization_id, name) WHERE state <> 'removing' AND replaces = '';

--bun:split

CREATE UNIQUE INDEX snapshots_replaces ON snapshots (replaces) WHERE state <> 'removing' AND replaces <> '';
