-- Counts the changes of what a running sandbox is to have, and which of them it
-- was given last. What runs already is given all of it once.
ALTER TABLE sandboxes ADD COLUMN network_wanted BIGINT NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE sandboxes ADD COLUMN network_applied BIGINT NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE sandboxes ADD COLUMN size_wanted BIGINT NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE sandboxes ADD COLUMN size_applied BIGINT NOT NULL DEFAULT 0;

--bun:split

UPDATE sandboxes SET network_wanted = 1, size_wanted = 1 WHERE state = 'started';

--bun:split

-- What is looked for every few minutes, of all organizations.
CREATE INDEX sandboxes_unsettled ON sandboxes (id) WHERE state NOT IN ('started', 'stopped', 'destroyed', 'error', 'build_failed');

--bun:split

CREATE INDEX sandboxes_started ON sandboxes (id) WHERE state = 'started';

--bun:split

CREATE INDEX sandboxes_unapplied ON sandboxes (id) WHERE (network_wanted <> network_applied OR size_wanted <> size_applied);
