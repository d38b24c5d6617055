"""The life of a sandbox."""

import contextlib
import time

import pytest
from daytona import (
    CreateSandboxFromSnapshotParams,
    Daytona,
    DaytonaAuthenticationError,
    DaytonaConfig,
    DaytonaConflictError,
    DaytonaError,
    DaytonaNotFoundError,
    FileUpload,
    ListSandboxesQuery,
    Resources,
    Sandbox,
)


def test_create_without_parameters_uses_the_default_snapshot(shared: Sandbox):
    assert shared.state == "started"
    assert (shared.cpu, shared.memory, shared.disk) == (1, 1, 3)
    assert shared.snapshot == "daytona-small"
    assert shared.auto_stop_interval == 15
    assert shared.user == "daytona"


def test_create_with_every_parameter(daytona: Daytona, name: str):
    sandbox = daytona.create(
        CreateSandboxFromSnapshotParams(
            name=name,
            snapshot="daytona-small",
            language="python",
            os_user="root",
            env_vars={"COLOR": "blue", "EMPTY": ""},
            labels={"purpose": name},
            auto_stop_interval=0,
            auto_archive_interval=60,
            auto_delete_interval=120,
            network_block_all=True,
        )
    )
    try:
        assert sandbox.name == name
        assert sandbox.labels["purpose"] == name
        assert (sandbox.auto_stop_interval, sandbox.auto_archive_interval, sandbox.auto_delete_interval) == (0, 60, 120)
        assert sandbox.network_block_all is True
        assert sandbox.process.exec('echo "$COLOR-$EMPTY-$(id -un)"').result == "blue--root\n"
        with pytest.raises(DaytonaConflictError):
            daytona.create(CreateSandboxFromSnapshotParams(name=name))
        found = [s.id for s in daytona.list(ListSandboxesQuery(labels={"purpose": name}))]
        assert found == [sandbox.id]
        assert daytona.get(name).id == sandbox.id
        assert daytona.get(sandbox.id).name == name
    finally:
        sandbox.delete()


def test_stop_and_start_keep_the_disk_and_end_the_processes(sandbox: Sandbox):
    sandbox.fs.upload_file(b"kept", "kept.txt")
    sandbox.process.exec("sleep 1000 >/dev/null 2>&1 &")
    sandbox.stop()
    assert sandbox.state == "stopped"
    with pytest.raises(DaytonaError):
        sandbox.process.exec("true")
    sandbox.start()
    assert sandbox.state == "started"
    assert sandbox.fs.download_file("kept.txt") == b"kept"
    assert "sleep 1000" not in sandbox.process.exec("ps ax").result


def test_a_deleted_sandbox_is_gone(daytona: Daytona):
    sandbox = daytona.create()
    sandbox.delete()
    deadline = time.time() + 10
    with pytest.raises(DaytonaNotFoundError):
        while time.time() < deadline:
            daytona.get(sandbox.id)
            time.sleep(0.05)


def test_an_ephemeral_sandbox_goes_when_it_stops(daytona: Daytona):
    sandbox = daytona.create(CreateSandboxFromSnapshotParams(ephemeral=True))
    sandbox.stop()
    deadline = time.time() + 10
    with pytest.raises(DaytonaNotFoundError):
        while time.time() < deadline:
            daytona.get(sandbox.id)
            time.sleep(0.05)


def test_the_network_can_be_limited_while_the_sandbox_runs(sandbox: Sandbox):
    def resolves(host: str) -> bool:
        return sandbox.process.exec(f"getent ahostsv4 {host}").exit_code == 0

    sandbox.update_network_settings(domain_allow_list="*.example.com")
    assert not resolves("pypi.org")
    sandbox.update_network_settings(domain_allow_list="pypi.org,*.example.com")
    assert sandbox.domain_allow_list == "pypi.org,*.example.com"
    assert resolves("pypi.org")
    reached = sandbox.process.code_run(
        "import urllib.request; print(urllib.request.urlopen('https://pypi.org/simple/six/', timeout=20).status)"
    )
    assert reached.result == "200\n", reached.result
    sandbox.update_network_settings(network_block_all=True)
    assert sandbox.network_block_all is True
    assert not resolves("pypi.org")
    with pytest.raises(DaytonaError, match="not a domain"):
        sandbox.update_network_settings(domain_allow_list="https://pypi.org/")
    sandbox.update_network_settings(network_block_all=False, domain_allow_list="")
    assert resolves("pypi.org")


def test_labels_and_intervals_can_be_changed(sandbox: Sandbox):
    assert sandbox.set_labels({"a": "1", "b": "2"}) == {"a": "1", "b": "2"}
    sandbox.set_autostop_interval(30)
    sandbox.set_auto_archive_interval(600)
    sandbox.set_auto_delete_interval(-1)
    sandbox.refresh_data()
    assert sandbox.labels == {"a": "1", "b": "2"}
    assert (sandbox.auto_stop_interval, sandbox.auto_archive_interval, sandbox.auto_delete_interval) == (30, 600, -1)
    sandbox.refresh_activity()
    with pytest.raises(DaytonaError):
        sandbox.set_autostop_interval(-1)


def test_list_follows_pages(daytona: Daytona, name: str):
    made = [daytona.create(CreateSandboxFromSnapshotParams(labels={"run": name})) for _ in range(3)]
    try:
        listed = [s.id for s in daytona.list(ListSandboxesQuery(labels={"run": name}, limit=1))]
        assert sorted(listed) == sorted(s.id for s in made)
    finally:
        for s in made:
            s.delete()


def test_directories_of_the_user(shared: Sandbox):
    assert shared.get_user_home_dir() == "/home/daytona"
    assert shared.get_work_dir() == "/home/daytona"


def test_errors_have_their_class(daytona: Daytona):
    with pytest.raises(DaytonaNotFoundError):
        daytona.get("00000000-0000-4000-8000-000000000000")
    with pytest.raises(DaytonaNotFoundError):
        daytona.create(CreateSandboxFromSnapshotParams(snapshot="no-such-snapshot"))
    with pytest.raises(DaytonaAuthenticationError):
        list(Daytona(DaytonaConfig(api_key="dtn_wrong")).list())


def test_the_memory_limit_is_seen_inside(shared: Sandbox):
    files = "/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max"
    assert shared.process.exec(f"cat {files} 2>/dev/null").result.strip() == str(1 << 30)


def test_the_disk_in_the_metrics_is_the_sandbox_s_own(sandbox: Sandbox):
    before = sandbox.get_metrics_latest()
    assert before.disk_total == sandbox.disk << 30
    sandbox.process.exec("dd if=/dev/zero of=fill bs=1M count=200 && sync")
    after = sandbox.get_metrics_latest()
    assert 190 << 20 < after.disk_used - before.disk_used < 220 << 20
    assert after.disk_total == before.disk_total


def test_a_full_disk_is_told(sandbox: Sandbox):
    sandbox.fs.upload_file(b"as it was", "old")
    full = sandbox.process.exec("head -c 200M /dev/zero >room; dd if=/dev/zero of=fill bs=1M")
    assert (full.exit_code, "Disk quota exceeded" in full.result) == (1, True)
    sandbox.process.exec("while head -c 4096 /dev/zero >>fill; do :; done")
    for upload in (["old"], ["new"], ["new", "old"]):
        with pytest.raises(DaytonaError, match="the sandbox's disk is full"):
            sandbox.fs.upload_files([FileUpload(b"x" * (64 << 20), name) for name in upload])
    assert sandbox.fs.download_file("old") == b"as it was"
    assert "new" not in [f.name for f in sandbox.fs.list_files(".")]
    sandbox.fs.delete_file("room")
    sandbox.fs.upload_file(b"x" * (64 << 20), "new")


def test_a_sandbox_whose_memory_is_full_of_files_stops_and_says_why(sandbox: Sandbox):
    fill = "mkdir /tmp/full && mount -t tmpfs -o size=9g tmpfs /tmp/full && dd if=/dev/zero of=/tmp/full/fill bs=4k"
    deadline = time.time() + 60
    while sandbox.state != "stopped" and time.time() < deadline:
        with contextlib.suppress(DaytonaError):  # nobody may be there to answer
            sandbox.process.exec(f"sudo -n sh -c '{fill}'")
        sandbox.refresh_data()
    assert f"ran out of memory ({sandbox.memory} GiB)" in sandbox.error_reason
    sandbox.start()
    assert sandbox.process.exec("echo again").result == "again\n"


def test_resize_while_it_runs(daytona: Daytona, sandbox: Sandbox):
    cpu, memory = sandbox.cpu, sandbox.memory
    assert sandbox.process.exec("nproc").result.strip() == str(cpu)
    sandbox.resize(Resources(cpu=cpu + 1, memory=memory + 1))
    assert (sandbox.cpu, sandbox.memory, sandbox.state) == (cpu + 1, memory + 1, "started")
    limits = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null"
    assert str((memory + 1) << 30) in sandbox.process.exec(limits).result
    again = daytona.get(sandbox.id)
    assert (again.cpu, again.memory) == (cpu + 1, memory + 1)
    sandbox.stop()
    sandbox.resize(Resources(cpu=cpu, memory=memory, disk=sandbox.disk + 1))
    sandbox.start()
    assert str(memory << 30) in sandbox.process.exec(limits).result
    with pytest.raises(DaytonaError, match="at most"):
        sandbox.resize(Resources(cpu=100_000))


def test_the_name_of_a_deleted_sandbox_is_free_at_once(daytona: Daytona, name: str):
    for _ in range(3):
        one = daytona.create(CreateSandboxFromSnapshotParams(name=name), timeout=120)
        assert daytona.get(name).id == one.id
        one.delete()


def test_a_user_that_the_image_does_not_have_is_refused(daytona: Daytona, name: str):
    for user in ("nosuchuser", "daytona:nosuchgroup"):
        with pytest.raises(DaytonaError, match="nosuch"):
            daytona.create(CreateSandboxFromSnapshotParams(name=name, os_user=user), timeout=120)
        with pytest.raises(DaytonaError):
            daytona.get(name)
    for user, says in (("nobody", "nobody"), ("root", "root"), ("4242", "4242")):
        one = daytona.create(CreateSandboxFromSnapshotParams(os_user=user), timeout=120)
        assert one.process.exec("id -un 2>/dev/null || id -u").result.split()[-1] == says
        one.delete()
