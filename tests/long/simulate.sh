#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The simulation with a million seeds, over a build that exists.
#
#   tests/long/simulate.sh [BUILD [COUNT [FIRST]]]      default: build/release, 1000000 seeds from 1
#
# A process on each CPU has its share of the seeds. Of the first seed that fails in each it prints
# the smallest scenario that still does, and what happened in it.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=${1:-build/release}
count=${2:-1000000}
first=${3:-1}
program=$build/tests/test-simulate
if [ ! -x "$program" ]; then
    echo "$program is not there: meson setup $build && ninja -C $build"
    exit 2
fi
cpus=$(nproc)
share=$(((count + cpus - 1) / cpus))
processes=()
for ((i = 0; i < cpus; i++)); do
    "$program" $((first + i * share)) "$share" &
    processes+=($!)
done
status=0
for process in "${processes[@]}"; do
    wait "$process" || status=1
done
exit $status
