#!/bin/bash
# From an image to a snapshot, to a sandbox, to code that runs, by plain HTTP.
# Needs DAYTONA_API_URL and DAYTONA_API_KEY, which eval "$(daytona env)" sets.
set -euo pipefail

call() { curl --fail-with-body --silent --show-error --header "Authorization: Bearer $DAYTONA_API_KEY" --header 'Content-Type: application/json' "$@"; }
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

call "$DAYTONA_API_URL/snapshots" --data '{"name": "example-curl", "imageName": "python:3.11-slim", "cpu": 2, "memory": 2, "disk": 4, "regionId": "us"}' >/dev/null
trap 'call --request DELETE "$DAYTONA_API_URL/snapshots/example-curl"' EXIT
until state=$(call "$DAYTONA_API_URL/snapshots/example-curl" | field state) && [ "$state" = active ]; do
  [ "$state" != error ] || exit 1
  sleep 0.5
done

sandbox=$(call "$DAYTONA_API_URL/sandbox" --data '{"snapshot": "example-curl"}')
id=$(echo "$sandbox" | field id)
toolbox=$(echo "$sandbox" | field toolboxProxyUrl)
call "$toolbox/$id/process/execute" --data '{"command": "echo Hello from a sandbox!"}'
echo
call --request DELETE "$DAYTONA_API_URL/sandbox/$id" >/dev/null
