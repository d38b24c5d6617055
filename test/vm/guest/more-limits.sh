# Limits that take their time to reach.
# shellcheck shell=bash

client
check "a snapshot with a disk of 1 GiB" daytona snapshot create small --dockerfile /tmp/image-bb/Dockerfile --context /tmp/image-bb --disk 1 || give_up
check "create of it" daytona create --snapshot small --name small || give_up
check "a file below it" inside small 'dd if=/dev/zero of=/f bs=1M count=800'
check "one beyond it" fails "" inside small 'dd if=/dev/zero of=/g bs=1M count=800'
check "another sandbox has room" inside a 'dd if=/dev/zero of=/g bs=1M count=800 && rm /g'
check "after a resize it fits" sh -c 'daytona resize small --disk 2 && daytona exec small -- dd if=/dev/zero of=/g bs=1M count=800'
check "4000 processes may be" says "enough" inside small 'i=0; while [ $i -lt 4000 ]; do sleep 600 & i=$((i + 1)); done; [ "$(cat /sys/fs/cgroup/pids.current)" -ge 4000 ] && echo enough; kill $(jobs -p)'
check "5000 may not" fails "fork" inside small 'i=0; while [ $i -lt 5000 ]; do sleep 600 & i=$((i + 1)); done'
check "the machine forks on" true
check "the other sandbox forks on" inside a 'for i in 1 2 3 4 5 6; do sleep 1 & done; wait'
if [[ $(parents) == */daytona.service/* ]]; then
  # The unit's limits bind all sandboxes together.
  check "700 MB without a limit of the unit" inside small 'dd if=/dev/zero of=/dev/null bs=700M count=1'
  check "a limit of the unit" systemctl set-property --runtime daytona MemoryMax=600M
  check "700 MB with it are too much" fails "" inside small 'dd if=/dev/zero of=/dev/null bs=700M count=1'
  check "no limit again" systemctl set-property --runtime daytona MemoryMax=infinity
  check "the server answers" soon ready
  check "700 MB may be again" inside small 'dd if=/dev/zero of=/dev/null bs=700M count=1'
else
  skipped "limits of the unit: this systemd cannot have the sandboxes in it"
fi
check "it is deleted with all that runs in it" daytona delete small
