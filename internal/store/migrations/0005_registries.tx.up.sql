-- Passwords are sealed (package seal).
CREATE TABLE docker_registries (
  id              TEXT PRIMARY KEY,
  organization_id TEXT NOT NULL,
  name            TEXT NOT NULL,
  url             TEXT NOT NULL,
  username        TEXT NOT NULL,
  password        TEXT NOT NULL,
  project         TEXT NOT NULL,
  created_at      TIMESTAMP NOT NULL,
  updated_at      TIMESTAMP NOT NULL,
  UNIQUE (organization_id, name)
);
