#!/bin/sh
# Makes a snapshot of an image and a sandbox of the snapshot, runs code in it,
# sends a file in and fetches one, and cleans up. Exits non-zero when any of that
# fails. It needs daytona in PATH (or its path in DAYTONA) and a server: the one
# of DAYTONA_API_URL and DAYTONA_API_KEY, of daytona login, or on this machine.
set -eu

daytona=${DAYTONA:-daytona}
image=python:3.12.10-slim-bookworm
name=example-cli-$$

clean_up() {
	code=$?
	trap - EXIT
	# What was not made need not go; what was made must.
	if "$daytona" info "$name" >/dev/null 2>&1; then
		"$daytona" delete "$name" || code=1
	fi
	if "$daytona" snapshot get "$name" >/dev/null 2>&1; then
		"$daytona" snapshot delete "$name" || code=1
	fi
	exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

"$daytona" snapshot create "$name" --image "$image" --cpu 1 --memory 1 --disk 3
"$daytona" create --snapshot "$name" --name "$name" --env GREETING=hello --auto-stop 5

"$daytona" exec "$name" -- python3 -c 'import os, platform; print(os.environ["GREETING"], "from Python", platform.python_version())'

# A file goes in as base64 in a command, and comes out on standard output.
content=$(printf 'sandbox\n' | base64)
"$daytona" exec "$name" -- "echo $content | base64 -d > greeting.txt && tr a-z A-Z < greeting.txt > loud.txt"
loud=$("$daytona" exec "$name" -- cat loud.txt)
[ "$loud" = SANDBOX ] || {
	echo "loud.txt holds '$loud'" >&2
	exit 1
}
echo "fetched $loud"

# The exit code of a command is the exit code of exec.
if "$daytona" exec "$name" -- exit 7; then
	echo "exit 7 succeeded" >&2
	exit 1
elif [ $? -ne 7 ]; then
	echo "exec did not pass the exit code on" >&2
	exit 1
fi

"$daytona" stop "$name"
"$daytona" start "$name"
"$daytona" exec "$name" -- cat loud.txt # its disk stayed
