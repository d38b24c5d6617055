"""Images for container engines inside sandboxes, where nothing can be pulled."""

import hashlib
import io
import json
import os
import tarfile

# A web server in place of nginx's, on the same port and in the foreground.
SERVE = 'trap "exit 0" TERM; mkdir -p /www; hostname >/www/index.html; httpd -f -p 80 -h /www & wait $!'
APPLETS = "cat df echo free head hostname httpd ip ls mkdir mount sh sleep tail touch wc wget whoami".split()


def image(command: str) -> tuple[bytes, bytes]:
    """The configuration and the layer of an image of busybox that runs the command."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for folder in ["bin", "etc", "tmp"]:
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        tar.add("/bin/busybox", "bin/busybox")
        for applet in APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    config = json.dumps(
        {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["sh", "-c", command]},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer.getvalue()).hexdigest()]},
        }
    ).encode()
    return config, layer.getvalue()


def archive(command: str, *tags: str) -> bytes:
    """The image as `docker save` would write it."""
    config, layer = image(command)
    name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": name, "RepoTags": list(tags), "Layers": ["layer.tar"]}]).encode()
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for path, content in [(name, config), ("layer.tar", layer), ("manifest.json", manifest)]:
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return whole.getvalue()
