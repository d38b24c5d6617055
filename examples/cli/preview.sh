#!/bin/sh
# Starts a web server in a sandbox that listens to the sandbox alone, and opens
# it by a signed preview URL. It needs curl, daytona in PATH (or its path in
# DAYTONA) and a server, as snapshot-flow.sh does.
set -eu

daytona=${DAYTONA:-daytona}
name=example-preview-$$
trap '"$daytona" delete "$name"' EXIT
trap 'exit 130' INT TERM

"$daytona" create --name "$name"
# What a command leaves running outlives it in a session of its own (setsid).
"$daytona" exec --timeout 30 "$name" -- '
  mkdir site && echo "Hello from a sandbox" > site/index.html
  setsid --fork python3 -m http.server 8000 --bind 127.0.0.1 --directory site > server.log 2>&1
  until python3 -c "import socket; socket.create_connection((\"127.0.0.1\", 8000))" 2> /dev/null; do sleep 0.1; done'

url=$("$daytona" preview-url "$name" --port 8000 --expires 10m)
echo "$url"
curl -sS --fail --noproxy '*' "$url/"
