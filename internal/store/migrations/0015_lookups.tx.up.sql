-- Variables of sandboxes that are gone are nobody's business.
UPDATE departed_sandboxes SET sandbox = json_remove(sandbox, '$.Env');

--bun:split

-- What waits in pools, as a claim looks for it, which each create does.
CREATE INDEX sandboxes_waiting ON sandboxes (organization_id, state, cpu, memory, disk, snapshot_id, created_at, id) WHERE warm_pool_id <> '';

--bun:split

-- All that an organization's use is counted by, in the transaction of a create.
CREATE INDEX sandboxes_usage ON sandboxes (organization_id, state, cpu, memory, disk);

--bun:split

-- Each create finds its snapshot by name, among the shared ones too.
CREATE INDEX snapshots_by_name ON snapshots (name);
