# AppArmor of the machine: its profiles do not catch what runs in sandboxes, and
# sandboxes do nothing to it.
# shellcheck shell=bash

client
if ! grep -q Y /sys/module/apparmor/parameters/enabled 2>/dev/null; then
  skipped "AppArmor, which is off here"
  return
fi
policies=/sys/kernel/security/apparmor/policy/namespaces

# A profile of the host catches one program, by its path, when it reads one file.
caught='/usr/local/bin/busybox cat /secret'
printf 'profile caught /usr/local/bin/busybox {\n  file,\n  capability,\n  deny /secret r,\n}\n' >/tmp/caught
apparmor_parser --replace --skip-cache /tmp/caught
rm -rf /tmp/control
mkdir -p /tmp/control/usr/local/bin /tmp/control/old
cp "$(command -v busybox)" /tmp/control/usr/local/bin/
echo read >/tmp/control/secret
# In mounts of its own, as in a sandbox, a program has the path that it has there.
control() { unshare --mount sh -c "mount --bind /tmp/control /tmp/control && cd /tmp/control && pivot_root . old && exec $caught"; }
check "control: beside sandboxes the profile catches the program" fails "ermission denied" control
image caught <<END
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir -p /tmp /root /etc /usr/local/bin && printf "root:x:0:0::/root:/bin/sh\\nplain:x:1000:1000::/tmp:/bin/sh\\n" >/etc/passwd && cp /bin/busybox /usr/local/bin/ && echo read >/secret
RUN $caught && cat /proc/self/attr/current >/label
END
check "in a build step it does not" build caught || give_up
check "create" daytona create --snapshot caught --name caught || give_up
check "in a sandbox it does not" says read inside caught "$caught"
label() { cat "/proc/$(processes caught | head -n 1)/attr/apparmor/current"; }
check "the sandbox is in a policy namespace of the server's" says :daytona0: label
check "the build step was in one, too" says unconfined inside caught 'cat /label'
check "a user who is not root makes a user namespace and is root in it" says "0" inside caught 'su plain -c "unshare -U -r id -u"'
check "and mounts in it" inside caught 'su plain -c "unshare -U -r -m mount -t tmpfs none /tmp"'
check "control: outside, a program can choose the profile" sh -c 'echo exec caught >/proc/self/attr/apparmor/exec'
check "inside it cannot" fails "No such file" inside caught 'echo exec caught >/proc/self/attr/apparmor/exec'
check "nor mount AppArmor's files" fails "denied" inside caught 'mount -t securityfs none /tmp'
check "nor change its settings" fails "denied" inside caught 'echo 0 >/proc/sys/kernel/unprivileged_userns_apparmor_policy'
check "nor its parameters" fails "denied" inside caught 'echo complain >/sys/module/apparmor/parameters/mode'

before=$(label)
check "the server restarts" systemctl restart daytona
check "it answers" soon ready
check "the sandbox has the profile that it had" says "$before" label
check "it is not caught" says read inside caught "$caught"
check "AppArmor loads its profiles again" systemctl reload apparmor
check "the sandbox has the profile that it had" says "$before" label
check "all profiles are removed" aa-teardown
apparmor_parser --replace --skip-cache /tmp/caught
check "what runs is not caught" says read inside caught "$caught"
restarted() { daytona stop caught && daytona start caught; }
check "the sandbox stops and starts" restarted
check "it has the profile that it had" says "$before" label
check "it is not caught" says read inside caught "$caught"

strict=/proc/sys/kernel/apparmor_restrict_unprivileged_unconfined
if [ -e $strict ]; then
  echo 1 >$strict
  check "where unconfined programs may not change their profile, it starts" restarted
  check "and is not caught" says read inside caught "$caught"
  echo 0 >$strict
else
  skipped "apparmor_restrict_unprivileged_unconfined, which this kernel does not have"
fi

where=$(command -v apparmor_parser)
mv "$where" "$where.away"
systemctl restart daytona
check "without apparmor_parser the server starts" soon ready
check "the sandbox stops and starts" restarted
check "it is not caught" says read inside caught "$caught"
check "daytona server check says that this is well" says "ok        AppArmor" daytona server check
mv "$where.away" "$where"
systemctl restart daytona
check "the server answers" soon ready
# Once, after all profiles were removed, the server found its own missing and loaded it.
check "nothing of it was denied" none sh -c "journalctl -k --no-pager | grep 'apparmor=\"DENIED\"' | grep -v -e '\"caught\"' -e 'label not found'"
check "delete" sh -c 'daytona delete caught && daytona snapshot delete caught'
apparmor_parser --remove /tmp/caught
check "the policy namespace is there while the server runs" [ -d $policies/daytona0 ]
