#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fuzzes the ONNX backend with libFuzzer (clang) under AddressSanitizer.
#
#   tests/long/fuzz_onnx.sh [SECONDS [JOBS]]         default: 600 seconds, 1 job
#
# Begins with tests/backends/onnx/corpus and keeps what it learns in build/fuzz/corpus. What it
# finds lies in build/fuzz as crash-*, leak-*, oom-* or timeout-*: mend it, and put the file, made
# small by `build/fuzz/fuzz_onnx -minimize_crash=1`, into tests/backends/onnx/corpus.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-600}
jobs=${2:-1}
flags="-fsanitize=address,undefined -fno-sanitize-recover=all"

[ -e build/fuzz/build.ninja ] || CC=clang meson setup build/fuzz -Dtests=false -Dexamples=false \
    -Dbench=false -Db_sanitize=address,undefined -Db_lundef=false \
    -Dc_args="-fno-sanitize-recover=all -fsanitize=fuzzer-no-link"
ninja -C build/fuzz lib/libmodelmesh-internal.a
# shellcheck disable=SC2086 # words are options
clang -g -O1 $flags -fsanitize=fuzzer -D_GNU_SOURCE -DFUZZ_MUTATOR -Iinclude -Ilib -Itests \
    tests/backends/onnx/fuzz_model.c tests/backends/onnx/fuzz_mutate.c \
    tests/conformance/host.c tests/conformance/values.c tests/support/world.c \
    build/fuzz/lib/libmodelmesh-internal.a -lcmocka -lm -lpthread -o build/fuzz/fuzz_onnx

mkdir -p build/fuzz/corpus
cd build/fuzz
exec ./fuzz_onnx -max_total_time="$seconds" -jobs="$jobs" -workers="$jobs" -timeout=20 \
    -rss_limit_mb=2048 -max_len=16384 corpus ../../tests/backends/onnx/corpus
