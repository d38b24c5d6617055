-- The orders and filters of lists. What waits in pools is listed when it is asked
-- for only, by the index sandboxes_created.
CREATE INDEX sandboxes_by_created ON sandboxes (organization_id, created_at, id) WHERE warm_pool_id = '';

--bun:split

CREATE INDEX sandboxes_by_name ON sandboxes (organization_id, name, id) WHERE warm_pool_id = '';

--bun:split

CREATE INDEX sandboxes_by_activity ON sandboxes (organization_id, last_activity_at, id) WHERE warm_pool_id = '';

--bun:split

CREATE INDEX sandboxes_by_cpu ON sandboxes (organization_id, cpu, id) WHERE warm_pool_id = '';

--bun:split

CREATE INDEX sandboxes_by_memory ON sandboxes (organization_id, memory, id) WHERE warm_pool_id = '';

--bun:split

CREATE INDEX sandboxes_by_disk ON sandboxes (organization_id, disk, id) WHERE warm_pool_id = '';

--bun:split

CREATE INDEX sandboxes_by_state ON sandboxes (organization_id, state, created_at, id) WHERE warm_pool_id = '';

--bun:split

CREATE INDEX sandboxes_by_snapshot ON sandboxes (organization_id, snapshot, created_at, id) WHERE warm_pool_id = '';

--bun:split

CREATE INDEX sandboxes_by_small_name ON sandboxes (organization_id, LOWER(name)) WHERE warm_pool_id = '';

--bun:split

DROP INDEX sandboxes_named;

--bun:split

-- Whatever a snapshot comes to: requests name those that are being removed, too.
CREATE INDEX snapshots_named ON snapshots (organization_id, name);

--bun:split

CREATE INDEX snapshots_general ON snapshots (name) WHERE general;

--bun:split

DROP INDEX snapshots_by_name;

--bun:split

CREATE INDEX snapshots_by_created ON snapshots (organization_id, general, created_at, id) WHERE NOT transient AND replaces = '';

--bun:split

CREATE INDEX snapshots_by_name ON snapshots (organization_id, general, name, id) WHERE NOT transient AND replaces = '';

--bun:split

CREATE INDEX snapshots_by_state ON snapshots (organization_id, general, state, id) WHERE NOT transient AND replaces = '';

--bun:split

CREATE INDEX snapshots_by_use ON snapshots (organization_id, general, last_used_at, id) WHERE NOT transient AND replaces = '';
