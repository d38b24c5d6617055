-- Each create finds its snapshot by name, among the shared ones too.
CREATE INDEX snapshots_by_name ON snapshots (name);
