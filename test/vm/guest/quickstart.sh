# The way of a user from a checkout, but for the build: the default snapshot is
# made here of Debian's packages.
# shellcheck shell=bash

systemctl disable -q --now daytona
rm -rf /etc/daytona /root/checkout
mkdir -p /root/checkout/{bin,scripts}
cp /payload/daytona /root/checkout/bin/
cp /payload/quickstart /root/checkout/scripts/
quickstart() { timeout 3000 /root/checkout/scripts/quickstart </dev/null; }
from=$SECONDS
check "scripts/quickstart runs code in a first sandbox" says "Hello from a sandbox!" quickstart || { tail -n 20 $data/server.log; give_up; }
echo "it took $((SECONDS - from)) s"
check "again it is quick and finds the server" says "already running" quickstart
PATH=/root/checkout/bin:$PATH
check "daytona env" client
check "the default snapshot's Python" says 42 sh -c 'id=$(daytona create --name q) && daytona exec q -- python3 -c "print(6 * 7)"'
check "its Node.js" says 42 daytona exec q -- node -e 'console.log(6 * 7)'
check "its user is no root" says 1000 daytona exec q -- id -u
check "sudo works inside" says 0 daytona exec q -- sudo id -u
check "delete" daytona delete q
pid=$(cat $data/quickstart.pid)
kill "$pid" && tail --pid="$pid" -f /dev/null
check "purge" daytona server purge --data
for what in parents mounts loops links tables namespaces agents; do check "no $what are left" soon none $what; done
check "no data is left" [ ! -e $data ]
