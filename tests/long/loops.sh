#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the normal run samples or cuts short, in full, over a build that exists:
#
#   tests/long/loops.sh [BUILD]      default: build/release
#
# every point of failure of every scenario of tests/nth, and a name registered 10^6 times.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${1:-build/release}

status=0
loop() {
    local program=$build/tests/test-$1
    shift
    if [ ! -x "$program" ]; then
        echo "$program is not there: meson setup $build && ninja -C $build"
        exit 2
    fi
    echo "== $program $*"
    "$program" "$@" || status=1
}
loop nth 1 1000000
loop scenario-crowds 1000000
exit $status
