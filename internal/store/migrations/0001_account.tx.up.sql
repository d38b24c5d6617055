CREATE TABLE users (
  id         TEXT PRIMARY KEY,
  name       TEXT NOT NULL,
  email      TEXT NOT NULL UNIQUE,
  admin      BOOLEAN NOT NULL,
  created_at TIMESTAMP NOT NULL
);

--bun:split

CREATE TABLE organizations (
  id                 TEXT PRIMARY KEY,
  name               TEXT NOT NULL,
  created_by         TEXT NOT NULL REFERENCES users (id),
  personal           BOOLEAN NOT NULL,
  default_region     TEXT NOT NULL,
  quota              TEXT NOT NULL,
  deactivate_minutes BIGINT NOT NULL,
  created_at         TIMESTAMP NOT NULL,
  updated_at         TIMESTAMP NOT NULL
);

--bun:split

CREATE TABLE members (
  organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  user_id         TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  role            TEXT NOT NULL,
  PRIMARY KEY (organization_id, user_id)
);

--bun:split

CREATE TABLE api_keys (
  hash            TEXT PRIMARY KEY,
  organization_id TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
  user_id         TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  name            TEXT NOT NULL,
  masked          TEXT NOT NULL,
  permissions     TEXT NOT NULL,
  created_at      TIMESTAMP NOT NULL,
  last_used_at    TIMESTAMP,
  expires_at      TIMESTAMP,
  UNIQUE (organization_id, user_id, name)
);
