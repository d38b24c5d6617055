# Docker inside a sandbox: its own limits bind.
# shellcheck shell=bash

client
systemd-run -q --collect --unit=fixtures /payload/registry --listen 127.0.0.1:5000 --cache /payload/fixtures --groups docker
check "the registry with the image" soon curl -sS -o /dev/null http://127.0.0.1:5000/v2/ || { systemctl status fixtures; give_up; }
# Busybox is for containers inside: there is no hub to pull from.
mkdir -p /tmp/image-docker
cp "$(command -v busybox)" /tmp/image-docker/
printf 'FROM fixtures/docker:26\nCOPY busybox /busybox\n' >/tmp/image-docker/Dockerfile
check "a snapshot of an image with Docker" daytona snapshot create docker --dockerfile /tmp/image-docker/Dockerfile --context /tmp/image-docker --cpu 2 --memory 2 --disk 8 || give_up
check "create" daytona create --snapshot docker --name d || give_up
docker() { daytona exec d -- docker "$@"; }
check "Docker answers" soon says 26 docker version --format '{{.Server.Version}}' || { daytona exec d -- tail -n 20 /var/log/dockerd.log; give_up; }
check "it has control groups, version 2" says "2 " docker info --format '{{.CgroupVersion}} {{.CgroupDriver}}'
check "its storage is overlay2" says overlay2 docker info --format '{{.Driver}}'
check "an image is imported" daytona exec d -- sh -c 'mkdir -p /tmp/r/bin && cp /busybox /tmp/r/bin/ && ln -s busybox /tmp/r/bin/sh && tar -C /tmp/r -c . | docker import - busybox:1'
# memory LIMIT SIZE runs a container with the limit that takes so much.
memory() { docker run --rm --network none --memory "$1" busybox:1 busybox dd if=/dev/zero of=/dev/null "bs=$2" count=1; }
status() { "$@"; echo "code $?"; }
check "a container" says hello docker run --rm --network none busybox:1 busybox echo hello
check "100 MB of 200 may be" memory 200m 100M
check "200 MB of 100 may not" says "code 137" status memory 100m 200M
check "that kill is counted in the sandbox" sh -c "grep -q '^oom_kill [1-9]' $(group d)/memory.events"
check "a limit of processes" fails "fork" docker run --rm --network none --pids-limit 5 busybox:1 sh -c 'for i in 1 2 3 4 5 6 7; do busybox sleep 2 & done; wait'
check "without it they run" docker run --rm --network none busybox:1 sh -c 'for i in 1 2 3 4 5 6 7; do busybox sleep 2 & done; wait'
check "a limit of cpu is in the container's group" says "50000 100000" docker run --rm --network none --cpus 0.5 busybox:1 busybox cat /sys/fs/cgroup/cpu.max
check "a published port" sh -c "daytona exec d -- docker run -d --name web -p 8080:80 busybox:1 busybox httpd -f -p 80 -h / && daytona exec d -- curl -fsS --retry 10 --retry-all-errors -o /dev/null http://127.0.0.1:8080/bin/sh"
check "a build" sh -c 'daytona exec d -- sh -c "mkdir -p /tmp/b && printf \"FROM busybox:1\nRUN busybox echo built >/built\n\" >/tmp/b/Dockerfile && DOCKER_BUILDKIT=0 docker build -q --network none -t built /tmp/b" && daytona exec d -- docker run --rm --network none built busybox grep built /built'
check "a stop" daytona stop d
check "a start" daytona start d
check "the images are there still" soon says busybox docker images
check "delete" sh -c 'daytona delete d && daytona snapshot delete docker'
systemctl stop fixtures
