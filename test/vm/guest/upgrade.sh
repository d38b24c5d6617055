# The version before, and this one on its data.
# shellcheck shell=bash

install -m 755 /payload/previous /usr/local/bin/daytona
cp /payload/daytona.service /etc/systemd/system/daytona.service
mkdir -p /etc/daytona
echo "default-image: none" >/etc/daytona/server.yaml
systemctl daemon-reload
echo "the version before is $(daytona version)"
check "the version before starts" systemctl start daytona || give_up
client
# Without a step: versions before the first that ran here can build that, too.
image old <<'END'
COPY busybox /bin/sh
END
check "it makes a snapshot" build old
key=$DAYTONA_API_KEY
# Versions before the first that ran with control groups of version 2 alone start no sandbox.
if daytona create --snapshot old --name o --timeout 120 >/dev/null 2>&1; then
  runs=yes
  check "it starts a sandbox" daytona exec o -- /bin/busybox sh -c 'echo kept >/f; /bin/busybox setsid /bin/busybox sleep 100000 >/dev/null 2>&1 &'
  was=$(processes o)
else
  runs=
  skipped "a sandbox through the upgrade: the version before starts none here"
fi
install -m 755 /payload/daytona /usr/local/bin/daytona.new
mv /usr/local/bin/daytona.new /usr/local/bin/daytona
check "this version starts on its data" systemctl restart daytona || give_up
check "it is this version" [ "$(daytona version)" = "$(/payload/daytona version)" ]
check "it answers to the same key" soon ready
client
check "the key is the same" [ "$key" = "$DAYTONA_API_KEY" ]
check "the snapshot is there" says active daytona snapshot get old -f json
if [ "$runs" ]; then
  check "the sandbox runs on" says "$was" processes o
  check "it answers" daytona exec o -- /bin/busybox grep kept /f
  check "it stops" daytona stop o
  check "it starts" daytona start o
  check "the disk stayed" daytona exec o -- /bin/busybox grep kept /f
fi
check "a new sandbox of the old snapshot" daytona create --snapshot old --name p
check "it answers" says new daytona exec p -- /bin/busybox echo new
check "the unit stops" systemctl stop daytona
check "purge" daytona server purge --data
check "nothing is left" none parents
