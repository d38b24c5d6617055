-- The configuration says what organizations may have; nobody read these.
ALTER TABLE organizations DROP COLUMN quota;

--bun:split

ALTER TABLE organizations DROP COLUMN deactivate_minutes;
