CREATE TABLE warm_pools (
  id              TEXT PRIMARY KEY,
  organization_id TEXT NOT NULL,
  snapshot        TEXT NOT NULL,
  region          TEXT NOT NULL,
  size            BIGINT NOT NULL,
  error_reason    TEXT NOT NULL,
  created_at      TIMESTAMP NOT NULL,
  updated_at      TIMESTAMP NOT NULL,
  UNIQUE (organization_id, snapshot, region)
);

--bun:split

-- The pool that a sandbox waits in; '' for one that is somebody's.
ALTER TABLE sandboxes ADD COLUMN warm_pool_id TEXT NOT NULL DEFAULT '';

--bun:split

-- Its agent does not know yet what its new owner asked for.
ALTER TABLE sandboxes ADD COLUMN claimed BOOLEAN NOT NULL DEFAULT FALSE;

--bun:split

CREATE INDEX sandboxes_warm ON sandboxes (warm_pool_id) WHERE warm_pool_id <> '';
