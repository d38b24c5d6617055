"""A network that is not this machine's, where a web server has an image to pull
and a large file. Sandboxes reach it as they do the Internet: by forwarding.

Run as a program it is that server, in the network's namespace.
"""

import hashlib
import http.server
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

ADDRESS = "198.18.82.2"
PORT = 5000
LARGE = 64 << 20
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def blob(media: str, content: bytes) -> dict:
    return {"mediaType": f"application/vnd.docker.{media}", "digest": digest(content), "size": len(content)}


def manifest(config: bytes, layer: bytes) -> bytes:
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": blob("container.image.v1+json", config),
            "layers": [blob("image.rootfs.diff.tar", layer)],
        }
    ).encode()


@contextmanager
def network(link: str, mtu: int, config: bytes, layer: bytes) -> Iterator[str]:
    """Makes the network behind a link of that MTU, with the image ADDRESS:PORT/busybox:1."""
    namespace = f"{link}-{os.getpid()}"

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True)

    ip("netns", "add", namespace)
    try:
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        ip("link", "set", link, "mtu", str(mtu), "up")
        ip("addr", "add", "198.18.82.1/30", "dev", link)
        ip("-n", namespace, "link", "set", "eth0", "up")
        ip("-n", namespace, "addr", "add", f"{ADDRESS}/30", "dev", "eth0")
        command = ["ip", "netns", "exec", namespace, sys.executable, __file__]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            server.stdin.write(b"%d %d\n" % (len(config), len(layer)) + config + layer)
            server.stdin.close()
            assert server.stdout.readline() == b"ready\n"
            try:
                yield f"{ADDRESS}:{PORT}"
            finally:
                server.kill()
    finally:
        ip("netns", "del", namespace)  # and the link with it


def main() -> None:
    sizes = [int(size) for size in sys.stdin.buffer.readline().split()]
    config, layer = (sys.stdin.buffer.read(size) for size in sizes)
    answers = {"/v2/": (b"{}", "application/json"), "/large": (b"x" * LARGE, "text/plain")}
    for content in [config, layer]:
        answers[f"/v2/busybox/blobs/{digest(content)}"] = (content, "application/octet-stream")
    listed = manifest(config, layer)
    for reference in ["1", digest(listed)]:
        answers[f"/v2/busybox/manifests/{reference}"] = (listed, MANIFEST)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content, kind = answers.get(self.path, (None, ""))
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content or b"")))
            if kind == MANIFEST:
                self.send_header("Docker-Content-Digest", digest(content))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content or b"")

        do_HEAD = do_GET

        def do_POST(self) -> None:
            got, size = 0, int(self.headers["Content-Length"])
            while got < size and (part := self.rfile.read(min(size - got, 1 << 20))):
                got += len(part)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(str(got).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer((ADDRESS, PORT), Handler)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
