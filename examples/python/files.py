"""Files of a sandbox: upload, list, search, change and download them, and share
one by a signed URL.

Needs `pip install daytona`, and DAYTONA_API_URL and DAYTONA_API_KEY, which
eval "$(daytona env)" sets.
"""

import io
import urllib.request

from daytona import Daytona, FileDownloadRequest, FileUpload

sandbox = Daytona().create()
try:
    fs = sandbox.fs
    fs.create_folder("project/data", "755")
    fs.upload_file(b"print('hello')  # TODO: greet\n", "project/main.py")
    fs.upload_files([FileUpload(f"row {i}\n".encode(), f"project/data/{i}.csv") for i in range(3)])
    fs.upload_file_stream(io.BytesIO(b"x" * 1_000_000), "project/data/large.bin")

    for file in fs.list_files("project", depth=2):
        print(file.permissions, file.size, file.path)
    for match in fs.find_files("project", "TODO"):
        print(f"{match.file}:{match.line}: {match.content}")
    fs.replace_in_files(["project/main.py"], "TODO: greet", "greets")
    print(fs.search_files("project", "*.csv").files)

    print(fs.download_file("project/main.py").decode(), end="")
    for answer in fs.download_files([FileDownloadRequest("project/data/0.csv"), FileDownloadRequest("missing")]):
        print(answer.source, answer.result or answer.error)
    print(sum(len(chunk) for chunk in fs.download_file_stream("project/data/large.bin")), "bytes")

    # Whoever has these URLs needs no API key.
    upload = sandbox.upload_url("project/data/shared.txt", ttl_seconds=60)
    urllib.request.urlopen(urllib.request.Request(upload, b"shared", method="POST")).close()
    download = sandbox.download_url("project/data/shared.txt")
    print(urllib.request.urlopen(download).read().decode())
    sandbox.rotate_signing_key()  # ends all of them
finally:
    sandbox.delete()
