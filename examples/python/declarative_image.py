"""An image described in code, built by the server, and a sandbox of it.

Needs `pip install daytona`, and DAYTONA_API_URL and DAYTONA_API_KEY, which
eval "$(daytona env)" sets.
"""

import tempfile
from pathlib import Path

from daytona import CreateSandboxFromImageParams, Daytona, Image, Resources

daytona = Daytona()

with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / "main.py").write_text("import six\nprint('six', six.__version__)\n")
    image = (
        Image.base("python:3.12-slim-bookworm")
        .pip_install("six==1.17.0")
        .add_local_dir(folder, "/srv/app")
        .workdir("/srv/app")
    )
    sandbox = daytona.create(
        CreateSandboxFromImageParams(image=image, resources=Resources(cpu=1, memory=1, disk=3)),
        timeout=300,
        on_snapshot_create_logs=print,
    )
try:
    response = sandbox.process.exec("python3 main.py")
    print(response.result)
    assert response.exit_code == 0
finally:
    sandbox.delete()
