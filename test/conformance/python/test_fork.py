"""Forks and snapshots of sandboxes."""

import time

import pytest
from daytona import CreateSandboxFromSnapshotParams, Daytona, DaytonaError, Sandbox

# An SQLite database that is written, each row synced, until somebody stops it.
WRITER = """python3 - <<'END' >/dev/null 2>&1 &
import sqlite3
db = sqlite3.connect("/tmp/rows.db")
db.execute("PRAGMA journal_mode=WAL")
db.execute("PRAGMA synchronous=FULL")
db.execute("CREATE TABLE rows (n INTEGER)")
n = 0
while True:
    n += 1
    db.execute("INSERT INTO rows VALUES (?)", (n,))
    db.commit()
END
"""
COUNT = """python3 -c "
import sqlite3
db = sqlite3.connect('/tmp/rows.db')
print(db.execute('PRAGMA integrity_check').fetchone()[0], db.execute('SELECT COUNT(*) FROM rows').fetchone()[0])
" """


def run(sandbox: Sandbox, command: str) -> str:
    answer = sandbox.process.exec(command)
    assert answer.exit_code == 0, answer.result
    return answer.result


def test_a_fork_has_the_disk_and_nothing_of_the_processes(daytona: Daytona, name: str):
    parent = daytona.create(CreateSandboxFromSnapshotParams(env_vars={"GIVEN": "once"}, labels={"a": "b"}), timeout=120)
    fork = None
    try:
        run(parent, WRITER)
        time.sleep(0.5)
        before = int(run(parent, COUNT).split()[1])
        fork = parent.fork(name=name)
        assert fork.id != parent.id and fork.name == name and fork.labels == parent.labels
        assert (fork.cpu, fork.memory, fork.disk) == (parent.cpu, parent.memory, parent.disk)
        check, rows = run(fork, COUNT).split()
        assert check == "ok" and int(rows) >= before
        assert run(fork, "echo $GIVEN; pgrep -c -f rows.db || true").split()[0] == "once"
        run(fork, "rm /tmp/rows.db")
        assert run(parent, COUNT).startswith("ok")
        # The line of forks, also when one of it is gone.
        api = daytona._sandbox_api
        assert [s.id for s in api.get_sandbox_forks(parent.id)] == [fork.id]
        grandchild = fork.fork()
        assert [s.id for s in api.get_sandbox_ancestors(grandchild.id)] == [fork.id, parent.id]
        fork.delete()
        assert api.get_sandbox_forks(parent.id) == []
        assert [s.id for s in api.get_sandbox_forks(parent.id, include_destroyed=True)] == [fork.id]
        gone = api.get_sandbox_parent(grandchild.id)
        assert gone.id == fork.id and gone.state.value in ("destroying", "destroyed")
        fork = grandchild
    finally:
        parent.delete()
        if fork:
            assert daytona._sandbox_api.get_sandbox_ancestors(fork.id)[-1].id == parent.id
            fork.delete()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_snapshot_of_a_sandbox_becomes_sandboxes(daytona: Daytona, sandbox: Sandbox, name: str, stopped: bool):
    run(sandbox, "mkdir -p ~/work && echo kept >~/work/file && rm ~/.profile")
    if stopped:
        sandbox.stop()
    sandbox.create_snapshot(name)
    assert sandbox.state.value == ("stopped" if stopped else "started")
    snapshot = daytona.snapshot.get(name)
    assert snapshot.state.value == "active"
    try:
        made = daytona.create(CreateSandboxFromSnapshotParams(snapshot=name), timeout=60)
        try:
            assert run(made, "cat ~/work/file; whoami").split()[0] == "kept"
            assert "absent" in run(made, "test -e ~/.profile || echo absent")
        finally:
            made.delete()
        with pytest.raises(DaytonaError, match="exists"):
            sandbox.create_snapshot(name)
    finally:
        daytona.snapshot.delete(snapshot)
