"""From an image to a snapshot, to a sandbox, to code that runs.

Needs `pip install daytona`, and DAYTONA_API_URL and DAYTONA_API_KEY, which
eval "$(daytona env)" sets.
"""

from daytona import CreateSandboxFromSnapshotParams, CreateSnapshotParams, Daytona, Resources

daytona = Daytona()

snapshot = daytona.snapshot.create(
    CreateSnapshotParams(
        name="example-python",
        image="python:3.11-slim",
        resources=Resources(cpu=2, memory=2, disk=4),
        region_id="us",
    ),
    on_logs=print,
)
try:
    sandbox = daytona.create(CreateSandboxFromSnapshotParams(snapshot=snapshot.name))
    try:
        print(sandbox.process.code_run("print('Hello from a sandbox!')").result)
        sandbox.fs.upload_file(b"kept on its disk\n", "note.txt")
        sandbox.stop()
        sandbox.start()
        print(sandbox.fs.download_file("note.txt").decode())
    finally:
        sandbox.delete()

    result = daytona.snapshot.list(page=1, limit=10)
    for each in result.items:
        print(f"{each.name} ({each.image_name})")
finally:
    daytona.snapshot.delete(snapshot)
