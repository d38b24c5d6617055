CREATE TABLE sandboxes (
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
  UNIQUE (organization_id, name)
);

--bun:split

CREATE INDEX sandboxes_created ON sandboxes (organization_id, created_at, id);

--bun:split

CREATE INDEX sandboxes_image ON sandboxes (image_digest);

--bun:split

CREATE INDEX sandboxes_snapshot ON sandboxes (snapshot_id, state);
