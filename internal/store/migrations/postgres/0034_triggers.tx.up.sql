-- As ids in the other tables.
ALTER TABLE sandbox_labels ALTER COLUMN sandbox_id TYPE TEXT COLLATE "C";

--bun:split

-- By the order of states, so that no two transactions wait for each other's rows.
CREATE FUNCTION count_sandboxes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO sandbox_counts AS c (organization_id, state, warm, sandboxes, cpu, memory, disk)
  SELECT organization_id, state, warm, SUM(sandboxes), SUM(cpu), SUM(memory), SUM(disk) FROM (
    SELECT NEW.organization_id, NEW.state, NEW.warm_pool_id <> '', 1, NEW.cpu, NEW.memory, NEW.disk WHERE TG_OP <> 'DELETE'
    UNION ALL
    SELECT OLD.organization_id, OLD.state, OLD.warm_pool_id <> '', -1, -OLD.cpu, -OLD.memory, -OLD.disk WHERE TG_OP <> 'INSERT'
  ) AS changes (organization_id, state, warm, sandboxes, cpu, memory, disk)
  GROUP BY organization_id, state, warm ORDER BY organization_id, state, warm
  ON CONFLICT (organization_id, state, warm) DO UPDATE SET
    sandboxes = c.sandboxes + excluded.sandboxes, cpu = c.cpu + excluded.cpu, memory = c.memory + excluded.memory, disk = c.disk + excluded.disk;
  RETURN NULL;
END $$;

--bun:split

CREATE TRIGGER sandboxes_counted AFTER INSERT OR DELETE OR UPDATE OF organization_id, state, warm_pool_id, cpu, memory, disk ON sandboxes
FOR EACH ROW EXECUTE FUNCTION count_sandboxes();

--bun:split

CREATE FUNCTION label_sandboxes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    DELETE FROM sandbox_labels WHERE sandbox_id = OLD.id;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO sandbox_labels (organization_id, key, value, created_at, sandbox_id)
    SELECT NEW.organization_id, l.key, l.value, NEW.created_at, NEW.id FROM jsonb_each_text(NEW.labels::jsonb) AS l;
  END IF;
  RETURN NULL;
END $$;

--bun:split

CREATE TRIGGER sandboxes_labelled AFTER INSERT OR DELETE OR UPDATE OF organization_id, labels, created_at ON sandboxes
FOR EACH ROW EXECUTE FUNCTION label_sandboxes();

--bun:split

INSERT INTO sandbox_labels (organization_id, key, value, created_at, sandbox_id)
SELECT s.organization_id, l.key, l.value, s.created_at, s.id FROM sandboxes AS s, jsonb_each_text(s.labels::jsonb) AS l;

--bun:split

CREATE FUNCTION count_snapshots() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO snapshot_counts AS c (organization_id, general, listed, state, snapshots)
  SELECT organization_id, general, listed, state, SUM(snapshots) FROM (
    SELECT NEW.organization_id, NEW.general, NOT NEW.transient AND NEW.replaces = '', NEW.state, 1 WHERE TG_OP <> 'DELETE'
    UNION ALL
    SELECT OLD.organization_id, OLD.general, NOT OLD.transient AND OLD.replaces = '', OLD.state, -1 WHERE TG_OP <> 'INSERT'
  ) AS changes (organization_id, general, listed, state, snapshots)
  GROUP BY organization_id, general, listed, state ORDER BY organization_id, general, listed, state
  ON CONFLICT (organization_id, general, listed, state) DO UPDATE SET snapshots = c.snapshots + excluded.snapshots;
  RETURN NULL;
END $$;

--bun:split

CREATE TRIGGER snapshots_counted AFTER INSERT OR DELETE OR UPDATE OF organization_id, general, transient, replaces, state ON snapshots
FOR EACH ROW EXECUTE FUNCTION count_snapshots();
