# The server ends in all ways; sandboxes do not notice.
# shellcheck shell=bash

client
# In a session of its own: what else a command leaves running ends with it.
check "a process of the user's" inside a 'setsid sh -c "echo \$\$ >/tmp/pid; exec sleep 100000" >/dev/null 2>&1 &'
check "it runs after the command that started it" soon inside a 'kill -0 $(cat /tmp/pid)'
before=$(processes a)
# on AFTER: the sandbox's processes are those from before, and it answers.
on() {
  check "after $1 the server answers" soon ready
  check "the sandbox's processes run on" says "$before" processes a
  check "it answers" inside a 'kill -0 $(cat /tmp/pid) && grep -q kept /root/f'
}
check "systemctl restart" systemctl restart daytona
on restart
was=$(main_pid)
check "systemctl stop" systemctl stop daytona
check "nobody answers" fails "" ready
check "the sandbox's processes run on without it" says "$before" processes a
check "systemctl start" systemctl start daytona
on "stop and start"
check "the server is another process" [ "$was" != "$(main_pid)" ]
was=$(main_pid)
check "kill -9" kill -9 "$was"
sleep 1
on "kill -9"
check "systemd started it again" [ "$was" != "$(main_pid)" ]
check "daemon-reload" systemctl daemon-reload
check "systemd leaves the controllers" says memory cat "$(parents)/cgroup.subtree_control"
check "and the limits" says 1073741824 file a memory.max
on daemon-reload
check "a sandbox can be made then" sh -c 'daytona create --snapshot bb --name later && daytona exec later -- true && daytona delete later'
check "metrics" says daytona_sandbox_oom_kills_total curl -fsS http://127.0.0.1:3986/metrics

# It stays stopped over a boot, beside one that runs.
check "one sandbox is stopped" daytona stop b
