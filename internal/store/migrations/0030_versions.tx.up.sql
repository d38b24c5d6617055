-- Counts the changes of a row: who changes it must have read its last one.
ALTER TABLE sandboxes ADD COLUMN version BIGINT NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE snapshots ADD COLUMN version BIGINT NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE warm_pools ADD COLUMN version BIGINT NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE docker_registries ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
