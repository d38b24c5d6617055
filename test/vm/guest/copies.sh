# Copies of a running sandbox, and its disk through a stop.
# shellcheck shell=bash

client
check "write" inside a 'echo kept >/root/f'
check "fork" daytona fork a --name b
check "the fork has the file" says kept inside b 'cat /root/f'
check "it is another's disk" sh -c 'daytona exec b -- sh -c "echo other >/root/f" && daytona exec a -- grep kept /root/f'
check "nothing stays frozen" says "frozen 0" file a cgroup.events
check "snapshot of a sandbox" daytona snapshot create c --sandbox a
check "create of it" daytona create --snapshot c --name c
check "it has the file" says kept inside c 'cat /root/f'
check "delete" daytona delete c
there=$(group a)
check "its group is there" [ -d "$there" ]
check "stop" daytona stop a
check "its group is gone" [ ! -e "$there" ]
check "start" daytona start a
check "the disk stayed" says kept inside a 'cat /root/f'
