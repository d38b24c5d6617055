CREATE TRIGGER sandboxes_inserted AFTER INSERT ON sandboxes BEGIN
  INSERT INTO sandbox_counts (organization_id, state, warm, sandboxes, cpu, memory, disk)
  VALUES (NEW.organization_id, NEW.state, NEW.warm_pool_id <> '', 1, NEW.cpu, NEW.memory, NEW.disk)
  ON CONFLICT (organization_id, state, warm) DO UPDATE SET
    sandboxes = sandboxes + 1, cpu = cpu + excluded.cpu, memory = memory + excluded.memory, disk = disk + excluded.disk;
END;

--bun:split

CREATE TRIGGER sandboxes_deleted AFTER DELETE ON sandboxes BEGIN
  UPDATE sandbox_counts SET sandboxes = sandboxes - 1, cpu = cpu - OLD.cpu, memory = memory - OLD.memory, disk = disk - OLD.disk
  WHERE organization_id = OLD.organization_id AND state = OLD.state AND warm = (OLD.warm_pool_id <> '');
  DELETE FROM sandbox_labels WHERE sandbox_id = OLD.id;
END;

--bun:split

CREATE TRIGGER sandboxes_updated AFTER UPDATE OF organization_id, state, warm_pool_id, cpu, memory, disk ON sandboxes BEGIN
  UPDATE sandbox_counts SET sandboxes = sandboxes - 1, cpu = cpu - OLD.cpu, memory = memory - OLD.memory, disk = disk - OLD.disk
  WHERE organization_id = OLD.organization_id AND state = OLD.state AND warm = (OLD.warm_pool_id <> '');
  INSERT INTO sandbox_counts (organization_id, state, warm, sandboxes, cpu, memory, disk)
  VALUES (NEW.organization_id, NEW.state, NEW.warm_pool_id <> '', 1, NEW.cpu, NEW.memory, NEW.disk)
  ON CONFLICT (organization_id, state, warm) DO UPDATE SET
    sandboxes = sandboxes + 1, cpu = cpu + excluded.cpu, memory = memory + excluded.memory, disk = disk + excluded.disk;
END;

--bun:split

CREATE TRIGGER sandboxes_labelled AFTER INSERT ON sandboxes WHEN NEW.labels <> '{}' BEGIN
  INSERT INTO sandbox_labels (organization_id, key, value, created_at, sandbox_id)
  SELECT NEW.organization_id, l.key, l.value, NEW.created_at, NEW.id FROM json_each(NEW.labels) AS l;
END;

--bun:split

CREATE TRIGGER sandboxes_relabelled AFTER UPDATE OF organization_id, labels, created_at ON sandboxes BEGIN
  DELETE FROM sandbox_labels WHERE sandbox_id = OLD.id;
  INSERT INTO sandbox_labels (organization_id, key, value, created_at, sandbox_id)
  SELECT NEW.organization_id, l.key, l.value, NEW.created_at, NEW.id FROM json_each(NEW.labels) AS l;
END;

--bun:split

INSERT INTO sandbox_labels (organization_id, key, value, created_at, sandbox_id)
SELECT s.organization_id, l.key, l.value, s.created_at, s.id FROM sandboxes AS s, json_each(s.labels) AS l;

--bun:split

CREATE TRIGGER snapshots_inserted AFTER INSERT ON snapshots BEGIN
  INSERT INTO snapshot_counts (organization_id, general, listed, state, snapshots)
  VALUES (NEW.organization_id, NEW.general, NOT NEW.transient AND NEW.replaces = '', NEW.state, 1)
  ON CONFLICT (organization_id, general, listed, state) DO UPDATE SET snapshots = snapshots + 1;
END;

--bun:split

CREATE TRIGGER snapshots_deleted AFTER DELETE ON snapshots BEGIN
  UPDATE snapshot_counts SET snapshots = snapshots - 1
  WHERE organization_id = OLD.organization_id AND general = OLD.general AND listed = (NOT OLD.transient AND OLD.replaces = '') AND state = OLD.state;
END;

--bun:split

CREATE TRIGGER snapshots_updated AFTER UPDATE OF organization_id, general, transient, replaces, state ON snapshots BEGIN
  UPDATE snapshot_counts SET snapshots = snapshots - 1
  WHERE organization_id = OLD.organization_id AND general = OLD.general AND listed = (NOT OLD.transient AND OLD.replaces = '') AND state = OLD.state;
  INSERT INTO snapshot_counts (organization_id, general, listed, state, snapshots)
  VALUES (NEW.organization_id, NEW.general, NOT NEW.transient AND NEW.replaces = '', NEW.state, 1)
  ON CONFLICT (organization_id, general, listed, state) DO UPDATE SET snapshots = snapshots + 1;
END;
