-- A rotation of a sandbox's signing key replaces it; the key itself is in no table.
ALTER TABLE sandboxes ADD COLUMN signing_salt TEXT NOT NULL DEFAULT '';
