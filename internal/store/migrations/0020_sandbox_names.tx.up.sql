-- A name is free as soon as its sandbox is to be destroyed. The constraint of the
-- table knows no condition and SQLite cannot drop it, so the table is made again.
CREATE TABLE sandboxes_again (
  id               TEXT PRIMARY KEY,
  organization_id  TEXT NOT NULL,
  name             TEXT NOT NULL,
  snapshot_id      TEXT NOT NULL,
  snapshot         TEXT NOT NULL,
  image_digest     TEXT NOT NULL,
  region           TEXT NOT NULL,
  state            TEXT NOT NULL,
  desired          TEXT NOT NULL,
  error_reason     TEXT NOT NULL,
  recoverable      BOOLEAN NOT NULL,
  user_name        TEXT NOT NULL,
  entrypoint       TEXT NOT NULL,
  env              TEXT NOT NULL,
  labels           TEXT NOT NULL,
  public           BOOLEAN NOT NULL,
  cpu              BIGINT NOT NULL,
  memory           BIGINT NOT NULL,
  disk             BIGINT NOT NULL,
  network          TEXT NOT NULL,
  auto_stop        BIGINT NOT NULL,
  auto_archive     BIGINT NOT NULL,
  auto_delete      BIGINT NOT NULL,
  destroy_at       TIMESTAMP,
  created_at       TIMESTAMP NOT NULL,
  updated_at       TIMESTAMP NOT NULL,
  last_activity_at TIMESTAMP NOT NULL,
  stopped_at       TIMESTAMP,
  parent_id        TEXT NOT NULL DEFAULT '',
  root_id          TEXT NOT NULL DEFAULT '',
  copy_of          TEXT NOT NULL DEFAULT '',
  warm_pool_id     TEXT NOT NULL DEFAULT '',
  claimed          BOOLEAN NOT NULL DEFAULT FALSE,
  stops            BIGINT NOT NULL DEFAULT 0
);

--bun:split

INSERT INTO sandboxes_again (
  id, organization_id, name, snapshot_id, snapshot, image_digest, region, state, desired, error_reason,
  recoverable, user_name, entrypoint, env, labels, public, cpu, memory, disk, network, auto_stop, auto_archive,
  auto_delete, destroy_at, created_at, updated_at, last_activity_at, stopped_at, parent_id, root_id, copy_of,
  warm_pool_id, claimed, stops
)
SELECT
  id, organization_id, name, snapshot_id, snapshot, image_digest, region, state, desired, error_reason,
  recoverable, user_name, entrypoint, env, labels, public, cpu, memory, disk, network, auto_stop, auto_archive,
  auto_delete, destroy_at, created_at, updated_at, last_activity_at, stopped_at, parent_id, root_id, copy_of,
  warm_pool_id, claimed, stops
FROM sandboxes;

--bun:split

DROP TABLE sandboxes;

--bun:split

ALTER TABLE sandboxes_again RENAME TO sandboxes;

--bun:split

CREATE UNIQUE INDEX sandboxes_name ON sandboxes (organization_id, name) WHERE desired <> 'destroyed';

--bun:split

-- Whatever its sandbox comes to: requests name those that are being destroyed, too.
CREATE INDEX sandboxes_named ON sandboxes (organization_id, name);

--bun:split

CREATE INDEX sandboxes_created ON sandboxes (organization_id, created_at, id);

--bun:split

CREATE INDEX sandboxes_image ON sandboxes (image_digest);

--bun:split

CREATE INDEX sandboxes_snapshot ON sandboxes (snapshot_id, state);

--bun:split

CREATE INDEX sandboxes_parent ON sandboxes (parent_id) WHERE parent_id <> '';

--bun:split

CREATE INDEX sandboxes_root ON sandboxes (root_id) WHERE root_id <> '';

--bun:split

CREATE INDEX sandboxes_warm ON sandboxes (warm_pool_id) WHERE warm_pool_id <> '';

--bun:split

-- What waits in pools, as a claim looks for it, which each create does.
CREATE INDEX sandboxes_waiting ON sandboxes (organization_id, state, cpu, memory, disk, snapshot_id, created_at, id) WHERE warm_pool_id <> '';

--bun:split

-- All that an organization's use is counted by, in the transaction of a create.
CREATE INDEX sandboxes_usage ON sandboxes (organization_id, state, cpu, memory, disk);
