-- One index for each clock of snapshots, and for what is in a state.
DROP INDEX snapshots_unused;

--bun:split

DROP INDEX snapshots_unused_transient;

--bun:split

DROP INDEX snapshots_state;

--bun:split

CREATE INDEX snapshots_unused ON snapshots (state, general, transient, used_at);
