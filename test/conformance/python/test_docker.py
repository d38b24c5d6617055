"""Docker inside a sandbox, without privilege: the guide's compose example as it
is written there, and what people do with Docker beside it.

The image is Debian's Docker (test/fixtures); there is no hub to pull from, so
nginx:alpine and the others are loaded from an archive of busybox.
"""

import os
import urllib.request
from collections.abc import Iterator

import pytest
from daytona import CreateSandboxFromSnapshotParams, CreateSnapshotParams, Daytona, Resources, Sandbox

from beyond import ADDRESS, LARGE, network
from busybox import SERVE, archive, image
from test_preview import fetch


def run(sandbox: Sandbox, command: str, timeout: int = 120) -> str:
    """Runs the command by bash and returns its output; it must succeed."""
    sandbox.fs.upload_file(f"set -o pipefail\n{command}".encode(), "/tmp/command")
    done = sandbox.process.exec("bash /tmp/command", timeout=timeout)
    assert done.exit_code == 0, f"{command}: exit code {done.exit_code}: {done.result}"
    return done.result.strip()


def await_docker(sandbox: Sandbox) -> None:
    run(
        sandbox,
        """
        for i in $(seq 300); do docker version >/dev/null 2>&1 && exit; sleep 0.1; done
        tail /var/log/dockerd.log; exit 1
        """,
    )


def await_containers(sandbox: Sandbox, count: int) -> None:
    run(
        sandbox,
        f"""
        for i in $(seq 100); do [ $(docker ps -q | wc -l) = {count} ] && exit; sleep 0.2; done
        docker ps -a; exit 1
        """,
    )


FETCH = "curl -sS --retry 20 --retry-delay 1 --retry-all-errors"
BIG = Resources(cpu=2, memory=4, disk=8)
SMALL = Resources(cpu=1, memory=1, disk=3)


@pytest.fixture(scope="module")
def docker(daytona: Daytona) -> Iterator[Sandbox]:
    snapshot = daytona.snapshot.create(
        CreateSnapshotParams(name="docker-dind", image="fixtures/docker:26", resources=BIG)
    )
    sandbox = daytona.create(CreateSandboxFromSnapshotParams(snapshot="docker-dind"), timeout=120)
    await_docker(sandbox)
    sandbox.fs.upload_file(archive(SERVE, "nginx:alpine", "busybox:1"), "images.tar")
    run(sandbox, "docker load -i images.tar")
    yield sandbox
    sandbox.delete()
    daytona.snapshot.delete(snapshot)


def creation_log(snapshot_id: str) -> str:
    url = f"{os.environ['DAYTONA_API_URL']}/snapshots/{snapshot_id}/build-logs"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {os.environ['DAYTONA_API_KEY']}"})
    with urllib.request.urlopen(request) as response:
        return response.read().decode()


def test_a_small_snapshot_of_docker_is_warned_of(daytona: Daytona, docker: Sandbox, name: str):
    small = daytona.snapshot.create(CreateSnapshotParams(name=name, image="fixtures/docker:26", resources=SMALL))
    log = creation_log(small.id)
    daytona.snapshot.delete(small)
    assert "at least 2 cores and 4 GiB" in log
    assert "Warning" not in creation_log(daytona.snapshot.get("docker-dind").id)


def test_the_storage_is_overlay2(docker: Sandbox):
    assert run(docker, "docker info -f '{{.Driver}}'") == "overlay2"


def test_the_guides_compose_example(docker: Sandbox):
    sandbox = docker
    compose_content = """
services:
  web:
    image: nginx:alpine
    ports:
      - "8080:80"
"""
    sandbox.fs.upload_file(compose_content.encode(), "docker-compose.yml")
    up = sandbox.process.exec("docker compose -p demo up -d")
    assert up.exit_code == 0, up.result
    ps = sandbox.process.exec("docker compose -p demo ps")
    assert "demo-web-1" in ps.result and "0.0.0.0:8080->80/tcp" in ps.result, ps.result
    # The published port answers, by the sandbox's loopback.
    page = run(sandbox, f"{FETCH} localhost:8080/")
    assert page == run(sandbox, "docker exec demo-web-1 hostname")
    # And the world, by a preview.
    status, text = fetch(sandbox.create_signed_preview_url(8080).url)
    assert (status, text.strip()) == (200, page)
    down = sandbox.process.exec("docker compose -p demo down")
    assert down.exit_code == 0, down.result
    assert run(sandbox, "docker ps -aq") == ""


def test_build(docker: Sandbox):
    dockerfile = b"FROM busybox:1\nRUN echo built >/made && mkdir /d\nCOPY here /d/\nCMD cat /made /d/here\n"
    docker.fs.upload_file(dockerfile, "build/Dockerfile")
    docker.fs.upload_file(b"copied\n", "build/here")
    run(docker, "docker build -q -t made:1 build")
    assert run(docker, "docker run --rm made:1").split() == ["built", "copied"]


# The way out takes smaller packets than Docker's networks.
def test_pulls_and_transfers_over_a_smaller_mtu(docker: Sandbox):
    config, layer = image(SERVE)
    with network("dtout4", 1300, config, layer) as registry:
        run(
            docker,
            f"""
            echo '{{"insecure-registries": ["{registry}"]}}' >/etc/docker/daemon.json
            pkill -HUP -x dockerd
            for i in $(seq 50); do docker info | grep -q {ADDRESS} && exit; sleep 0.1; done; exit 1
            """,
        )
        run(docker, f"docker pull -q {registry}/busybox:1")
        there_and_back = (
            f"wget -q -O /large http://{registry}/large && wget -q -O - --post-file /large http://{registry}/size"
        )
        got = run(docker, f"docker run --rm {registry}/busybox:1 sh -c '{there_and_back}'", timeout=60)
        assert got == str(LARGE)
        run(docker, f"docker rmi -f {registry}/busybox:1; rm /etc/docker/daemon.json; pkill -HUP -x dockerd")


def test_limits_bind(docker: Sandbox):
    memory = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
    cpu = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cat /sys/fs/cgroup/cpu.max"
    limits = run(docker, f"docker run --rm -m 64m --cpus 0.5 busybox:1 sh -c '{memory}; {cpu}'").split()
    assert limits[:2] == [str(64 << 20), "50000"], limits
    died = docker.process.exec(
        "docker run --name bomb -m 32m --memory-swap 32m busybox:1 tail -c 200m /dev/zero;"
        " docker inspect -f {{.State.OOMKilled}} bomb; docker rm bomb"
    )
    assert "true" in died.result, died.result


def test_networks_and_names(docker: Sandbox):
    run(docker, "docker network create lan && docker run -d --network lan --name server nginx:alpine")
    try:
        fetch = "for i in 1 2 3 4 5; do wget -q -O - http://server/ && exit; sleep 1; done; exit 1"
        page = run(docker, f"docker run --rm --network lan busybox:1 sh -c '{fetch}'")
        assert page == run(docker, "docker exec server hostname")
    finally:
        run(docker, "docker rm -f server && docker network rm lan")


def test_containers_use_the_sandboxes_resolver(docker: Sandbox):
    outside = run(docker, "grep nameserver /etc/resolv.conf | head -n 1")
    assert outside in run(docker, "docker run --rm busybox:1 cat /etc/resolv.conf")


def test_volumes_outlive_containers(docker: Sandbox):
    run(docker, "docker volume create kept && docker run --rm -v kept:/v busybox:1 touch /v/file")
    seen = run(docker, "docker run --rm -v kept:/v -v /etc/hostname:/h:ro busybox:1 sh -c 'ls /v; cat /h'")
    assert seen.split() == ["file", run(docker, "cat /etc/hostname")]
    run(docker, "docker volume rm kept")


def test_privileged_is_power_over_the_sandbox_only(docker: Sandbox):
    mounted = run(docker, "docker run --rm --privileged busybox:1 sh -c 'mount -t tmpfs none /tmp && df /tmp'")
    assert mounted.endswith("% /tmp")
    refused = docker.process.exec(
        "docker run --rm --privileged -v /proc:/p busybox:1 sh -c 'echo x >/p/sys/kernel/core_pattern'"
    )
    assert refused.exit_code != 0, "a container has changed the host's core_pattern"


def test_twenty_containers_that_come_back_after_a_restart_of_the_sandbox(docker: Sandbox):
    run(
        docker,
        """
        for i in $(seq 20); do
          docker run -d --restart always --name many-$i -p $((9000 + i)):80 nginx:alpine >/dev/null || exit
        done
        """,
    )
    assert run(docker, "docker ps -q | wc -l") == "20"
    docker.stop()
    docker.start(timeout=60)
    await_docker(docker)
    await_containers(docker, 20)
    run(docker, f"for i in 1 20; do {FETCH} localhost:$((9000 + i))/ || exit; done")
    # The daemon was asked before its containers, so it has ended them itself.
    assert "Cannot kill container" not in run(docker, "cat /var/log/dockerd.log")
    run(docker, "docker rm -f $(docker ps -aq)")


def test_the_daemon_starts_again_after_a_kill_of_the_sandbox(docker: Sandbox):
    run(docker, "docker run -d --restart always --name survivor nginx:alpine")
    docker.stop(force=True)
    docker.start(timeout=60)
    await_docker(docker)
    await_containers(docker, 1)
    run(docker, "docker rm -f survivor")


ROOTLESS = f"""
export XDG_RUNTIME_DIR=/tmp/rootless DOCKER_HOST=unix:///tmp/rootless/docker.sock
export PATH=$PATH:/usr/share/docker.io/contrib:/usr/sbin
(setsid dockerd-rootless.sh --data-root /var/lib/docker/rootless >/tmp/rootless/log 2>&1 &)
for i in $(seq 150); do docker version >/dev/null 2>&1 && break; sleep 0.1; done
docker info -f '{{{{.Driver}}}} {{{{.SecurityOptions}}}}'
docker load -q -i /tmp/images.tar
docker run -d --rm --name web -p 8090:80 nginx:alpine >/dev/null
{FETCH} -o /dev/null -w '%{{http_code}}\n' localhost:8090/
docker run --rm busybox:1 whoami
docker rm -f web >/dev/null
"""


def test_rootless(docker: Sandbox):
    # overlay2 needs a directory that is not on the sandbox's own overlay.
    run(
        docker,
        """
        chmod 711 /var/lib/docker && install -m 644 images.tar /tmp/images.tar &&
        install -d -o rootless -g rootless -m 700 /var/lib/docker/rootless /tmp/rootless
        """,
    )
    docker.fs.upload_file(ROOTLESS.encode(), "/tmp/rootless.sh")
    said = run(
        docker,
        """
        su - rootless -c 'bash /tmp/rootless.sh'; code=$?
        pkill -u rootless; [ $code = 0 ] || cat /tmp/rootless/log; exit $code
        """,
    )
    assert "overlay2" in said and "rootless" in said and "200" in said.split(), said
