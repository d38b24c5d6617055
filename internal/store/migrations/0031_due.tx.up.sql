-- No clock of the sandbox strikes before it; NULL when none runs. Too early a
-- time is corrected when it has come, so any will do for older rows.
ALTER TABLE sandboxes ADD COLUMN due_at TIMESTAMP;

--bun:split

UPDATE sandboxes SET due_at = created_at WHERE desired <> 'destroyed' AND warm_pool_id = '';

--bun:split

CREATE INDEX sandboxes_due ON sandboxes (due_at) WHERE due_at IS NOT NULL;

--bun:split

-- When it was last used or changed, whichever was later.
ALTER TABLE snapshots ADD COLUMN used_at TIMESTAMP;

--bun:split

UPDATE snapshots SET used_at = CASE WHEN last_used_at > updated_at THEN last_used_at ELSE updated_at END;

--bun:split

CREATE INDEX snapshots_unused ON snapshots (used_at) WHERE state = 'active' AND NOT general AND NOT transient;

--bun:split

CREATE INDEX snapshots_unused_transient ON snapshots (used_at) WHERE transient;
