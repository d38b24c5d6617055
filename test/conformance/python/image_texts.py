"""Prints what the official SDK's Image makes of the cases that the Go SDK's is held against, as JSON.

The Go SDK's test reads it from sdk/test/testdata: python image_texts.py >../../../sdk/test/testdata/images.json
"""

import json
import os
import tempfile
from pathlib import Path

from daytona import Image


def texts() -> dict[str, str]:
    """The Dockerfile of each case, made in a folder that has the files of the cases."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.getcwd()
        os.chdir(folder)
        try:
            for name in ("src/deep", "döner"):
                Path(name).mkdir(parents=True)
            for name in ("requirements.txt", "src/main.py", "src/deep/data", "with space.txt", "döner/kebab😀.txt"):
                Path(name).write_text(name)
            Path("pyproject.toml").write_text(
                '[project]\ndependencies = ["requests>=2", "idna"]\n'
                '[project.optional-dependencies]\ndev = ["pytest", "ruff<1"]\ndocs = ["sphinx"]\n'
            )
            Path("Dockerfile").write_text("# syntax=docker/dockerfile:1\nFROM a:1\nCOPY src /srv\nCMD sleep 9")
            return {name: image.dockerfile() for name, image in cases().items()}
        finally:
            os.chdir(before)


def cases() -> dict[str, Image]:
    def base() -> Image:
        return Image.base("debian:12.9")

    return {
        **{
            f"debian_slim {v}": Image.debian_slim(v)
            for v in ("3.9", "3.10", "3.11", "3.12", "3.13", "3.12.1", "3.13.0rc1")
        },
        "base": base(),
        "from_dockerfile": Image.from_dockerfile("Dockerfile"),
        "pip_install": base().pip_install("requests>=2,<3", "pandas", "uvicorn[standard]", "it's"),
        "pip_install none": base().pip_install(),
        "pip_install options": base().pip_install(
            "a",
            find_links=["/srv/wheels", "https://links.example/a b"],
            index_url="https://index.example/simple?x=1&y=2",
            extra_index_urls=["https://one.example", "https://two.example"],
            pre=True,
            extra_options="  --no-deps --no-cache-dir ",
        ),
        "requirements": base().pip_install_from_requirements("./requirements.txt", pre=True),
        "pyproject": base().pip_install_from_pyproject(
            "pyproject.toml", ["dev", "none"], index_url="https://index.example"
        ),
        "add_local_file": base().add_local_file("src/main.py", "/srv/main.py"),
        "add_local_file to a folder": base().add_local_file("./src/../src/main.py", "/srv/"),
        "add_local_file with a space": base().add_local_file("with space.txt", "/srv/with space.txt"),
        "add_local_file not in ASCII": base().add_local_file("döner/kebab😀.txt", "/srv/döner"),
        "add_local_dir": base().add_local_dir("src/", "/srv/<src>"),
        "run_commands": base().run_commands("echo one", "echo 'two' && echo \"three\""),
        "run_commands as lists": base().run_commands(
            ["bash", "-c", "echo Hello, world!"], ["sh", "-c", "echo 'a' \"b\" $C"]
        ),
        "env": base().env({"A": "plain", "B": "with space", "C": "it's $HOME", "D": "", "E": 'say "x"'}),
        "workdir": base().workdir("/srv/my app").workdir("/srv"),
        "entrypoint and cmd": base().entrypoint(["sh", "-c"]).cmd(["sleep 9 && echo <done> & 'é'"]),
        "entrypoint none": base().entrypoint([]).cmd([]),
        "dockerfile_commands": base().dockerfile_commands(["ARG X=src", "RUN echo $X", "COPY src /srv"]),
        "everything": Image.debian_slim("3.12")
        .pip_install("numpy")
        .env({"A": "1"})
        .add_local_dir("src", "/srv")
        .run_commands("echo x")
        .workdir("/srv")
        .entrypoint(["python"])
        .cmd(["main.py"]),
    }


if __name__ == "__main__":
    print(json.dumps(texts(), indent=2))
