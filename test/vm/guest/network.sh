# What a sandbox reaches, previews, and the bandwidth.
# shellcheck shell=bash

client
# A web server beyond this machine, reached by forwarding alone.
there=198.18.80.2 there6=fdb7:3d11:c04a:80::2 here=198.18.80.1
mkdir -p /tmp/page /tmp/own
echo beyond >/tmp/page/index.html
echo machine >/tmp/own/index.html
dd if=/dev/urandom of=/tmp/page/large bs=1M count=4 2>/dev/null
ip netns add beyond
ip link add beyond0 type veth peer name eth0 netns beyond
ip link set beyond0 up
ip -n beyond link set eth0 up
ip -n beyond link set lo up
ip addr add $here/30 dev beyond0
ip -n beyond addr add $there/30 dev eth0
ip addr add fdb7:3d11:c04a:80::1/126 dev beyond0 nodad
ip -n beyond addr add $there6/126 dev eth0 nodad
ip -n beyond -6 route add unreachable default
ip netns exec beyond sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
# Sandboxes have IPv6 where the machine has a default route for it.
ip -6 route add default via $there6 dev beyond0 metric 2000000000
systemd-run -q --unit=beyond-web ip netns exec beyond busybox httpd -f -p 80 -h /tmp/page
systemd-run -q --unit=own-web busybox httpd -f -p 8000 -h /tmp/own
get() { echo "printf 'GET /${3:-index.html} HTTP/1.0\r\n\r\n' | nc -w 5 $1 $2"; }

check "a sandbox of this network" daytona create --snapshot bb --name n || give_up
check "the web server is reached by the machine" soon says beyond curl -fsS http://$there/
check "by a sandbox" soon says beyond inside n "$(get $there 80)"
check "by a sandbox, by IPv6" soon says beyond inside n "$(get $there6 80)"
check "the machine's own server is reached by the machine" soon says machine curl -fsS http://$here:8000/
unreached() { local out; out=$(inside n "$(get "$1" "$2")" 2>&1); [[ $out != *"$3"* ]] || { echo "$out"; return 1; }; }
check "not by a sandbox" unreached $here 8000 machine
check "a web server in a sandbox" sh -c 'daytona exec a -- sh -c "httpd -p 8000 -h /root" && daytona exec a -- wget -q -O - http://127.0.0.1:8000/f'
address=$(inside a "ip -4 addr show eth0" | sed -n 's/.*inet \([0-9.]*\).*/\1/p')
check "its address is known" [ -n "$address" ]
check "another sandbox does not reach it" unreached "$address" 8000 kept
check "blocked it reaches nothing" sh -c "daytona create --snapshot bb --name blocked --network-block-all && ! daytona exec blocked -- sh -c \"$(get $there 80)\" | grep beyond"
check "delete" daytona delete blocked
# A name that the machine itself needs: that of its packages' archive.
name=$(grep -rhoE 'https?://[^/ ]+' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -n 1 | sed 's,.*//,,; s,:.*,,')
if getent hosts "$name" >/dev/null; then
  check "names of the Internet are known inside" says Address inside n "nslookup $name"
  check "names that do not exist are not" fails "" inside n "nslookup nothing.invalid"
else
  skipped "names inside: the machine itself knows none"
fi

url=$(daytona preview-url a --port 8000)
check "a preview has a URL" [ -n "$url" ]
check "it shows what the sandbox serves" says kept curl -fsS --resolve '*:3986:127.0.0.1' "${url%/}/f"
check "not to those without a token" says 401 curl -sS -o /dev/null -w '%{http_code}' --resolve '*:3986:127.0.0.1' "$(daytona preview-url a --port 8000 --lasting)"
check "nothing listens on another port" says 502 curl -sS -o /dev/null -w '%{http_code}' --resolve '*:3986:127.0.0.1' "$(daytona preview-url a --port 8001)"

# fetch prints the milliseconds that 4 MiB take.
fetch() {
  local from
  from=$(date +%s%N)
  inside n "[ \$($(get $there 80 large) | wc -c) -gt 4194304 ]" || return 1
  echo $((($(date +%s%N) - from) / 1000000))
}
check "4 MiB arrive without a limit" fetch
free=$(fetch)
echo "sandbox-bandwidth: 8M" >>/etc/daytona/server.yaml
check "a limit of 8 Mbit/s" systemctl restart daytona
check "the server answers" soon ready
check "4 MiB arrive with it" fetch
bound=$(fetch)
check "they take more than 3 s ($bound ms), without it less ($free ms)" [ "$bound" -gt 3000 -a "$free" -lt 3000 ]
sed -i '/^sandbox-bandwidth/d' /etc/daytona/server.yaml
check "no limit again" systemctl restart daytona
check "the server answers" soon ready
again=$(fetch)
check "they take less than 3 s again ($again ms)" [ "$again" -lt 3000 ]
check "delete" daytona delete n
systemctl stop beyond-web own-web
ip netns del beyond
