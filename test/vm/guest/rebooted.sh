# After a boot of the machine.
# shellcheck shell=bash

check "the unit is up" soon says active systemctl is-active daytona || give_up
check "the server answers" soon client || give_up
check "the sandbox that ran starts again" soon says started state a
check "it answers" soon inside a 'true'
check "its files are there" says kept inside a 'cat /root/f'
check "its processes are not" fails "" inside a 'kill -0 $(cat /tmp/pid) && grep -q sleep /proc/$(cat /tmp/pid)/cmdline'
check "its limits are in force" says 1073741824 file a memory.max
check "the sandbox that was stopped is stopped" says stopped state b
check "it starts" daytona start b
check "its files are there" says other inside b 'cat /root/f'
check "a new sandbox" sh -c 'daytona create --snapshot bb --name anew && daytona exec anew -- true && daytona delete anew'
