-- The JSON of how an image is built; '' for one that is pulled.
ALTER TABLE snapshots ADD COLUMN build TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE snapshots ADD COLUMN build_ref TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE snapshots ADD COLUMN transient BOOLEAN NOT NULL DEFAULT FALSE;

--bun:split

CREATE INDEX snapshots_build ON snapshots (build_ref) WHERE build_ref <> '';
