-- What organizations have, kept by triggers in the transaction of each change, so
-- that a quota or a total is a sum of few rows.
CREATE TABLE sandbox_counts (
  organization_id TEXT NOT NULL,
  state           TEXT NOT NULL,
  warm            BOOLEAN NOT NULL,
  sandboxes       BIGINT NOT NULL,
  cpu             BIGINT NOT NULL,
  memory          BIGINT NOT NULL,
  disk            BIGINT NOT NULL,
  PRIMARY KEY (organization_id, state, warm)
);

--bun:split

INSERT INTO sandbox_counts (organization_id, state, warm, sandboxes, cpu, memory, disk)
SELECT organization_id, state, warm_pool_id <> '', COUNT(*), SUM(cpu), SUM(memory), SUM(disk) FROM sandboxes GROUP BY 1, 2, 3;

--bun:split

CREATE INDEX sandbox_counts_state ON sandbox_counts (state, sandboxes);

--bun:split

-- Listed are those that are neither transient nor the next content of another one.
CREATE TABLE snapshot_counts (
  organization_id TEXT NOT NULL,
  general         BOOLEAN NOT NULL,
  listed          BOOLEAN NOT NULL,
  state           TEXT NOT NULL,
  snapshots       BIGINT NOT NULL,
  PRIMARY KEY (organization_id, general, listed, state)
);

--bun:split

INSERT INTO snapshot_counts (organization_id, general, listed, state, snapshots)
SELECT organization_id, general, NOT transient AND replaces = '', state, COUNT(*) FROM snapshots GROUP BY 1, 2, 3, 4;

--bun:split

CREATE INDEX snapshot_counts_state ON snapshot_counts (state, snapshots);

--bun:split

-- The labels of sandboxes, as lists are filtered by them; the triggers keep them too.
CREATE TABLE sandbox_labels (
  organization_id TEXT NOT NULL,
  key             TEXT NOT NULL,
  value           TEXT NOT NULL,
  created_at      TIMESTAMP NOT NULL,
  sandbox_id      TEXT NOT NULL,
  PRIMARY KEY (organization_id, key, value, created_at, sandbox_id)
);

--bun:split

CREATE INDEX sandbox_labels_sandbox ON sandbox_labels (sandbox_id);

--bun:split

-- What organizations have as sandboxes took its place.
DROP INDEX sandboxes_usage;
