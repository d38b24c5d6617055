#!/bin/bash
# From an image to a snapshot, to a sandbox, to code that runs, by the command.
set -euo pipefail

daytona snapshot create example-cli --image python:3.11-slim --cpu 2 --memory 2 --disk 4 --region us
trap 'daytona snapshot delete example-cli' EXIT
daytona snapshot list --page 1 --limit 10

sandbox=$(daytona create --snapshot example-cli)
daytona exec "$sandbox" -- python3 -c 'print("Hello from a sandbox!")'
daytona exec "$sandbox" -- 'echo kept >note.txt'
daytona stop "$sandbox"
daytona start "$sandbox"
daytona exec "$sandbox" -- cat note.txt
daytona delete "$sandbox"
