-- Signed URLs of ports of sandboxes, by the SHA-256 of their tokens.
CREATE TABLE preview_urls (
  hash       TEXT PRIMARY KEY,
  sandbox_id TEXT NOT NULL,
  port       BIGINT NOT NULL,
  expires_at TIMESTAMP NOT NULL
);

--bun:split

CREATE INDEX preview_urls_sandbox ON preview_urls (sandbox_id);

--bun:split

CREATE INDEX preview_urls_expires ON preview_urls (expires_at);

--bun:split

-- How often it was stopped: the token of its previews lasts until it is again.
ALTER TABLE sandboxes ADD COLUMN stops BIGINT NOT NULL DEFAULT 0;
