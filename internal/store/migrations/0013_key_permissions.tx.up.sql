-- What every key could do until now takes a permission. Keys that may make
-- sandboxes get it, as new ones do; an administrator's key that may do all goes
-- on doing all.
-- Permissions are a JSON list of at least one text, so the last ] is its end.
UPDATE api_keys SET permissions = substr(permissions, 1, length(permissions) - 1) || ',"use:toolbox","read:env","use:previews"]'
WHERE permissions LIKE '%"write:sandboxes"%';

--bun:split

UPDATE api_keys SET permissions = substr(permissions, 1, length(permissions) - 1) || ',"read:metrics","manage:server"]'
WHERE permissions LIKE '%"manage:billing"%' AND permissions LIKE '%"manage:api_keys"%' AND permissions LIKE '%"write:sandboxes"%'
  AND permissions LIKE '%"delete:sandboxes"%' AND permissions LIKE '%"write:snapshots"%' AND permissions LIKE '%"delete:snapshots"%'
  AND user_id IN (SELECT id FROM users WHERE admin);

--bun:split

UPDATE api_keys SET permissions = substr(permissions, 1, length(permissions) - 1) || ',"read:limits"]'
WHERE permissions LIKE '%"write:sandboxes"%' AND permissions NOT LIKE '%"read:limits"%';
