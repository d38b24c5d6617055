ALTER TABLE sandboxes ADD COLUMN parent_id TEXT NOT NULL DEFAULT '';

--bun:split

-- The first of the line of forks; '' for one that is no fork.
ALTER TABLE sandboxes ADD COLUMN root_id TEXT NOT NULL DEFAULT '';

--bun:split

-- The sandbox whose disk is still to be copied.
ALTER TABLE sandboxes ADD COLUMN copy_of TEXT NOT NULL DEFAULT '';

--bun:split

CREATE INDEX sandboxes_parent ON sandboxes (parent_id) WHERE parent_id <> '';

--bun:split

CREATE INDEX sandboxes_root ON sandboxes (root_id) WHERE root_id <> '';

--bun:split

-- Sandboxes that are gone, for as long as one of their line is there.
CREATE TABLE departed_sandboxes (
  id              TEXT PRIMARY KEY,
  organization_id TEXT NOT NULL,
  parent_id       TEXT NOT NULL,
  root_id         TEXT NOT NULL,
  sandbox         TEXT NOT NULL
);

--bun:split

CREATE INDEX departed_parent ON departed_sandboxes (parent_id);

--bun:split

CREATE INDEX departed_root ON departed_sandboxes (root_id);

--bun:split

ALTER TABLE snapshots ADD COLUMN source_sandbox_id TEXT NOT NULL DEFAULT '';

--bun:split

CREATE INDEX snapshots_source ON snapshots (source_sandbox_id) WHERE source_sandbox_id <> '';
