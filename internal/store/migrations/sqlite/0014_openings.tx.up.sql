-- How often a server has opened the database: an older copy counts less than
-- the data directory beside it remembers.
CREATE TABLE openings (
  n BIGINT NOT NULL
);

--bun:split

INSERT INTO openings (n) VALUES (0);
