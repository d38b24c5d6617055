# The Go tests of real servers, built elsewhere: each of them is a check.
# shellcheck shell=bash

export DAYTONA_TEST_PROGRAMS=/payload/tests
export TMPDIR=/var/tmp # /tmp is in memory on some distributions
[ "$(systemd-detect-virt)" = kvm ] || export DAYTONA_TEST_SLOWNESS=10
for tests in $(cd /payload/tests && find . -name tests -type f | sort); do
  cd "/payload/tests/$(dirname "$tests")" || exit
  ./tests -test.v -test.run "$(cat ../../run)" -test.timeout 3h -test.failfast=false 2>&1 | tee "/tmp/$(basename "$(dirname "$tests")").log" |
    sed -E -u 's/^--- PASS: (.*) \((.*)s\)$/ok     \2 s  \1/; s/^--- FAIL: (.*) \((.*)s\)$/FAILED \2 s  \1/; s/^--- SKIP: (.*) \((.*)s\)$/not run       \1/; /^=== /d; s/^(panic: .*)$/FAILED        \1/'
  status=${PIPESTATUS[0]}
  check "$(dirname "$tests") ends well" [ "$status" = 0 ]
done
