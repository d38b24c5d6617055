-- Variables of sandboxes that are gone are nobody's business.
UPDATE departed_sandboxes SET sandbox = json_remove(sandbox, '$.Env');

--bun:split

-- Each create finds its snapshot by name, among the shared ones too.
CREATE INDEX snapshots_by_name ON snapshots (name);
