# What the stages share. Each check is one line, which the host counts.
# shellcheck shell=bash

began=$SECONDS
data=/var/lib/daytona
bad=0

# check WHAT COMMAND… says whether the command succeeds.
check() {
  local what=$1 out
  shift
  if out=$("$@" 2>&1); then
    printf 'ok     %4d s  %s\n' $((SECONDS - began)) "$what"
  else
    bad=$((bad + 1))
    printf 'FAILED %4d s  %s: %s\n' $((SECONDS - began)) "$what" "$(tail -n 4 <<<"$out" | tr '\n' ' ')"
    return 1
  fi
}

# skipped WHAT says what was not tried, and why.
skipped() { echo "not run       $*"; }

# give_up ends a stage that cannot go on.
give_up() {
  journalctl -u daytona --no-pager -n 30 | cut -c 1-400
  echo "end of $stage"
  exit 1
}

# says TEXT COMMAND… succeeds where the command's output has the text.
says() {
  local want=$1 out
  shift
  out=$("$@" 2>&1) || { echo "$out"; return 1; }
  [[ $out == *"$want"* ]] || { echo "it said: $out"; return 1; }
}

# fails TEXT COMMAND… succeeds where the command fails with the text.
fails() {
  local want=$1 out
  shift
  out=$("$@" 2>&1) && { echo "it did not fail: $out"; return 1; }
  [[ $out == *"$want"* ]] || { echo "it said: $out"; return 1; }
}

# none COMMAND… succeeds where the command prints nothing, whatever its status.
none() {
  local out
  out=$("$@" 2>/dev/null)
  [ -z "$out" ] || { echo "there is: $out"; return 1; }
}

# some COMMAND… is its control.
some() { [ -n "$("$@" 2>/dev/null)" ] || { echo "nothing"; return 1; }; }

# soon COMMAND… repeats until it succeeds, for a minute.
soon() {
  local out
  for _ in $(seq 60); do
    out=$("$@" 2>&1) && return
    sleep 1
  done
  echo "$out"
  return 1
}

# client makes the command find the server.
client() {
  export DAYTONA_DATA_DIR=$data
  local vars
  vars=$(daytona env) && eval "$vars"
}

# id is asked for once: to start the command takes a second on an emulated processor.
id() {
  mkdir -p /run/test-ids
  [ -s "/run/test-ids/$1" ] || daytona info "$1" -f json | sed -n 's/^ *"id": "\(.*\)",*/\1/p' | head -n 1 >"/run/test-ids/$1"
  cat "/run/test-ids/$1"
}
# parents are the groups that sandboxes' groups are in: the unit's, or one at the root.
parents() { find /sys/fs/cgroup -maxdepth 4 -type d -name 'daytona[0-9]*'; }
group() { find $(parents) -maxdepth 1 -name "$(id "$1")"; }
file() { cat "$(group "$1")/$2"; }
inside() {
  local name=$1
  shift
  daytona exec "$name" -- sh -c "$*"
}
state() { daytona info "$1" -f json | sed -n 's/^ *"state": "\(.*\)",*/\1/p' | head -n 1; }
main_pid() { systemctl show -p MainPID --value daytona; }
ready() { daytona list; }

# processes are a sandbox's, by their ids on the machine.
processes() { find "$(group "$1")" -name cgroup.procs -exec cat {} + | sort -n; }

# image is a Dockerfile of busybox, which needs no registry.
image() {
  rm -rf "/tmp/image-$1"
  mkdir -p "/tmp/image-$1"
  cp "$(command -v busybox)" "/tmp/image-$1/"
  printf 'FROM scratch\nCOPY busybox /bin/busybox\n' >"/tmp/image-$1/Dockerfile"
  cat >>"/tmp/image-$1/Dockerfile"
}

# build makes the snapshot of that name.
build() { daytona snapshot create "$1" --dockerfile "/tmp/image-$1/Dockerfile" --context "/tmp/image-$1"; }

# What the machine holds for sandboxes, one a line each.
mounts() { grep -E '/run/daytona|/var/lib/daytona' /proc/self/mountinfo; }
loops() { grep -h . /sys/block/loop*/loop/backing_file; }
links() { ip -br link | grep -E '^dt[0-9]'; }
tables() { nft list tables | grep daytona; }
namespaces() { lsns -n -t net -o NS,PID,COMMAND,NSFS | grep -v ' 1 '; }
agents() { pgrep -fa '^/.daytona/toolbox|^runc|/runc '; }
claims() { ls /run/daytona/[0-9]* -d; }
