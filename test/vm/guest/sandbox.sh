# A snapshot built with RUN, and a sandbox of it.
# shellcheck shell=bash

client
image bb <<'END'
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir -p /tmp /root /etc /usr/bin && echo root:x:0:0::/root:/bin/sh >/etc/passwd && cat /proc/self/cgroup >/cgroup
END
check "a build with RUN" build bb || give_up
image broken <<'END'
RUN ["/bin/busybox", "false"]
END
check "a build whose RUN fails, fails" fails "" build broken
check "create" daytona create --snapshot bb --name a || give_up
check "exec" says 42 inside a 'echo $((6 * 7))'
check "exec passes the exit code on" says "code 7" sh -c 'daytona exec a -- sh -c "exit 7"; echo "code $?"'
where() {
  local got
  got=$(group a)
  if [ "$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')" -ge 254 ]; then
    [[ $got == /sys/fs/cgroup/system.slice/daytona.service/daytona0/* ]]
  else
    [[ $got == /sys/fs/cgroup/daytona0/* ]]
  fi || { echo "it is $got"; return 1; }
}
check "its group is where the documentation says" where
