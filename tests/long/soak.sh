#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The long form of the stress tests, over a build that exists.
#
#   tests/long/soak.sh [BUILD [SECONDS [SEED]]]      default: build/release, 60 seconds, seed 1
#
# First four clients, two of which cycle over more models than fit: prints requests, failed, and
# evictions of leased or pinned models (0, or it fails). Then everything at once, as long again.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${1:-build/release}
seconds=${2:-60}
seed=${3:-1}
fixed_addresses=() # as in tests/run.sh
setarch "$(uname -m)" -R true 2>/dev/null && fixed_addresses=(setarch "$(uname -m)" -R)

status=0
for name in stress-clients stress-soak; do
    program=$build/tests/test-$name
    if [ ! -x "$program" ]; then
        echo "$program is not there: meson setup $build && ninja -C $build"
        exit 2
    fi
    echo "== $name: $seconds s"
    "${fixed_addresses[@]}" timeout $((2 * seconds + 120)) "$program" "$seed" 0 "$seconds" ||
        status=1
done
exit $status
