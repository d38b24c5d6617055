# From the source tree on a machine without Go: the compiler and the tools that
# the makefile fetches, and a build by them.
# shellcheck shell=bash

check "the machine has no Go" fails "" sh -c 'command -v go'
mkdir -p /root/source
tar -x -C /root/source -f /payload/source.tar
apt-get install -y -qq --no-install-recommends make git >/dev/null 2>&1
cd /root/source || exit
grep -q '^toolchain:' Makefile || { check "the makefile has a target toolchain" false; give_up; }
check "make toolchain" make toolchain
check "make build by it" make build
check "what was built runs" bin/daytona version
