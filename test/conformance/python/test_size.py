"""What programs in a sandbox see of its size, where they look for the machine's."""

import json

from daytona import CreateSandboxFromSnapshotParams, CreateSnapshotParams, Daytona, Resources, Sandbox

from conftest import IMAGE

LOOK = """
import json, os, psutil, time
now = time.time()
print(json.dumps({
    "memory": psutil.virtual_memory().total,
    "used": psutil.virtual_memory().used,
    "swap": psutil.swap_memory().total,
    "cores": psutil.cpu_count(),
    "os": os.cpu_count(),
    "times": len(psutil.cpu_times(percpu=True)),
    "up": now - psutil.boot_time(),
    "first": now - psutil.Process(1).create_time(),
    "own": now - psutil.Process().create_time(),
}))
"""


def look(sandbox: Sandbox) -> dict:
    done = sandbox.process.exec(f"python3 -c '{LOOK}'")
    assert done.exit_code == 0, done.result
    seen = json.loads(done.result)
    # What counts from the boot agrees: the sandbox is young, its programs are younger.
    assert 0 <= seen["own"] < 30 and seen["own"] <= seen["first"] + 1 <= seen["up"] + 2 < 300, seen
    assert 0 < seen["used"] < seen["memory"] and seen["swap"] == 0, seen
    return seen


def test_psutil_and_free_see_the_sandbox_and_follow_a_resize(daytona: Daytona, name: str):
    snapshot = daytona.snapshot.create(
        CreateSnapshotParams(name=name, image=IMAGE, resources=Resources(cpu=1, memory=1, disk=3))
    )
    sandbox = daytona.create(CreateSandboxFromSnapshotParams(snapshot=name), timeout=120)
    try:
        # The machine's cores are at least as many as any test's.
        cores = int(sandbox.process.exec("env -u OMP_NUM_THREADS nproc").result)
        installed = sandbox.process.exec("pip install --quiet --root-user-action ignore psutil")
        assert installed.exit_code == 0, installed.result
        for cpu, memory in [(1, 1), (2, 3), (1, 2)]:
            sandbox.resize(Resources(cpu=cpu, memory=memory))
            seen = look(sandbox)
            assert seen["memory"] == memory << 30, seen
            assert [seen["cores"], seen["os"], seen["times"]] == [min(cpu, cores)] * 3, seen
            free = sandbox.process.exec("free -b | awk '/^Mem:/ {print $2}'").result.strip()
            assert free == str(memory << 30)
    finally:
        sandbox.delete()
        daytona.snapshot.delete(snapshot)
