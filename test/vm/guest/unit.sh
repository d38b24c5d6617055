# The server as the documentation's unit, from its first start.
# shellcheck shell=bash

check "control groups are version 2 alone" says cgroup2fs stat -fc %T /sys/fs/cgroup
install -m 755 /payload/daytona /usr/local/bin/daytona
cp /payload/daytona.service /etc/systemd/system/daytona.service
mkdir -p /etc/daytona
cat >/etc/daytona/server.yaml <<'END'
default-image: none
mirror: [docker.io=http://127.0.0.1:5000]
plain-http: [127.0.0.1:5000]
END
check "daytona server check" daytona server check || daytona server check
systemctl daemon-reload
check "the unit starts, now and at a boot" systemctl enable -q --now daytona || give_up
check "systemd takes it for ready" says active systemctl is-active daytona
check "the server answers" client || give_up
check "systemd takes the unit without an error" systemd-analyze verify /etc/systemd/system/daytona.service
