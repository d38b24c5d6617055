-- Whether sandboxes that say nothing of the network get the server's limited one.
ALTER TABLE organizations ADD COLUMN limited_egress BOOLEAN NOT NULL DEFAULT FALSE;
