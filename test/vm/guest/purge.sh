# A purge leaves nothing. Before it everything is there, so that the checks can fail.
# shellcheck shell=bash

client
for what in parents mounts loops links tables namespaces agents claims; do check "$what are there" some $what; done
check "delete" daytona delete b
check "the unit stops" systemctl stop daytona
check "groups are there without the server" some parents
check "purge" daytona server purge --data
for what in parents mounts loops links tables namespaces agents claims; do check "no $what are left" soon none $what; done
check "no data is left" [ ! -e $data ]
