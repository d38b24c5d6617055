# Each limit, and what happens below it.
# shellcheck shell=bash

client
in_force() { echo $(file a memory.max) $(file a memory.swap.max) $(file a cpu.max) $(file a pids.max); }

# cpu MIN MAX: two loops that want a core each for 4 s get so many ms of time.
cpu() {
  local from to used
  from=$(sed -n 's/usage_usec //p' "$(group a)/cpu.stat")
  inside a 'timeout 4 sh -c "while :; do :; done" & timeout 4 sh -c "while :; do :; done"; wait'
  to=$(sed -n 's/usage_usec //p' "$(group a)/cpu.stat")
  used=$(((to - from) / 1000))
  echo "used $used ms"
  [ $used -gt "$1" ] && [ $used -lt "$2" ]
}
# take takes so much memory and gives it back.
take() { inside a "dd if=/dev/zero of=/dev/null bs=$1 count=1"; }
kills() { sed -n 's/^oom_kill //p' "$(group a)/memory.events"; }

check "the limits are in the group" says "1073741824 0 100000 100000 4096" in_force
check "the sandbox sees its own size" says "1 1048576" inside a 'echo $(grep -c ^processor /proc/cpuinfo) $(sed -n "s/MemTotal: *\([0-9]*\) kB/\1/p" /proc/meminfo)'
check "no limit can be lifted inside" fails "" inside a 'echo max >/sys/fs/cgroup/memory.max'
check "memory below the limit is there" take 700M
check "nothing was killed for it" says 0 kills
check "memory beyond it is not, and that is told" fails "memory limit of 1 GiB was reached" take 1100M
check "the kernel killed" says 1 kills
check "the server logs it" soon says "killed in a sandbox" journalctl -u daytona --no-pager
check "the sandbox goes on" says on inside a 'echo on'
check "two loops get one core" cpu 2500 6000
check "resize up" daytona resize a --cpu 2 --memory 2
check "it is in force" says "2147483648 0 200000 100000" in_force
check "what was too much fits" take 1100M
check "two loops get two cores" cpu 6000 9000
too_small() {
  inside a 'dd if=/dev/zero of=/dev/shm/x bs=1M count=500 2>/dev/null' && daytona stop a && daytona start a &&
    inside a 'dd if=/dev/zero of=/dev/shm/x bs=1M count=1000 2>/dev/null' && fails "memory cannot be 1 GiB" daytona resize a --memory 1 && inside a 'rm /dev/shm/x'
}
check "no resize below what is in use" too_small
check "resize down" daytona resize a --cpu 1 --memory 1
check "it is in force" says "1073741824 0 100000 100000" in_force

# Delegation: what is inside limits what it starts.
check "a group inside has the controllers" says "memory" inside a 'cd /sys/fs/cgroup && mkdir x && echo 3 >x/pids.max && echo 50M >x/memory.max && cat cgroup.subtree_control'
six='for i in 1 2 3 4 5 6; do sleep 2 & done; wait'
check "six processes may be" inside a "$six"
check "with a limit of three they may not" fails "fork" inside a "echo \$\$ >/sys/fs/cgroup/x/cgroup.procs; $six"
check "20 MB may be" inside a 'echo 10 >/sys/fs/cgroup/x/pids.max; echo $$ >/sys/fs/cgroup/x/cgroup.procs; dd if=/dev/zero of=/dev/null bs=20M count=1'
check "with a limit of 50 MB, 100 may not" fails "" inside a 'echo $$ >/sys/fs/cgroup/x/cgroup.procs; dd if=/dev/zero of=/dev/null bs=100M count=1'
check "100 MB outside of that may be" take 100M
