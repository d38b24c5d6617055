CREATE TABLE snapshots (
  id              TEXT PRIMARY KEY,
  organization_id TEXT NOT NULL,
  general         BOOLEAN NOT NULL,
  name            TEXT NOT NULL,
  image_name      TEXT NOT NULL,
  state           TEXT NOT NULL,
  error_reason    TEXT NOT NULL,
  region_ids      TEXT NOT NULL,
  cpu             BIGINT NOT NULL,
  memory          BIGINT NOT NULL,
  disk            BIGINT NOT NULL,
  entrypoint      TEXT NOT NULL,
  image_digest    TEXT NOT NULL,
  size            BIGINT NOT NULL,
  user_name       TEXT NOT NULL,
  created_at      TIMESTAMP NOT NULL,
  updated_at      TIMESTAMP NOT NULL,
  last_used_at    TIMESTAMP
);

--bun:split

-- A name is free again as soon as its snapshot is being removed.
CREATE UNIQUE INDEX snapshots_name ON snapshots (organization_id, name) WHERE state <> 'removing';

--bun:split

CREATE INDEX snapshots_state ON snapshots (state);
