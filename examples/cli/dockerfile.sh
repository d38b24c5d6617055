#!/bin/sh
# Builds a Dockerfile with the files that it copies, as a snapshot and then,
# with one file changed, for a sandbox. Exits non-zero when any of that fails. It
# needs daytona in PATH (or its path in DAYTONA) and a server: the one of
# DAYTONA_API_URL and DAYTONA_API_KEY, of daytona login, or on this machine.
set -eu

daytona=${DAYTONA:-daytona}
name=example-dockerfile-$$
folder=$(mktemp -d)

clean_up() {
	code=$?
	trap - EXIT
	rm -rf "$folder"
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

mkdir "$folder/app"
echo 'print("built once")' >"$folder/app/main.py"
echo '**/*.log' >"$folder/.dockerignore"
echo 'left out' >"$folder/app/debug.log"
cat >"$folder/Dockerfile" <<'EOT'
FROM python:3.12-slim-bookworm
WORKDIR /srv/app
COPY app .
RUN python3 main.py
CMD ["sleep", "infinity"]
EOT

"$daytona" snapshot create "$name" --dockerfile "$folder/Dockerfile" --cpu 1 --memory 1 --disk 3
echo 'print("built twice")' >"$folder/app/main.py"
"$daytona" create --dockerfile "$folder/Dockerfile" --name "$name" --cpu 1 --memory 1 --disk 3 # sends app, and builds from COPY on
said=$("$daytona" exec "$name" -- 'python3 main.py && ls')
[ "$said" = "built twice
main.py" ] || {
	echo "the sandbox said '$said'" >&2
	exit 1
}
echo "$said"
