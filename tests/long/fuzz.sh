#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fuzzes what comes from strangers with libFuzzer (clang) under AddressSanitizer.
#
#   tests/long/fuzz.sh TARGET [SECONDS [JOBS]]       default: 600 seconds, 1 job
#
#   wire      protobuf and ONNX's messages
#   model     the ONNX backend: importer, passes, one run on a small host
#   infer     a mesh through its public calls: models, requests, updates
#   artifact  prepared models on disk, damaged, with right checksums
#
# Begins with tests/backends/onnx/corpus and keeps what it learns in build/fuzz/TARGET. What it
# finds lies there as crash-*, leak-*, oom-* or timeout-*: mend it, and put the file, made small by
# `build/fuzz/fuzz_TARGET -minimize_crash=1 -runs=100000 FILE`, into tests/backends/onnx/corpus.
set -eu
cd "$(dirname "$0")/../.."
onnx=tests/backends/onnx
host="tests/conformance/device.c tests/conformance/host.c tests/conformance/values.c"
case ${1:-} in
wire) sources="$onnx/fuzz_wire.c" ;;
model) sources="$onnx/fuzz_model.c $host" ;;
infer) sources="tests/api/fuzz_infer.c tests/api/fuzz_request.c $host" ;;
artifact) sources="tests/artifact/fuzz_artifact.c $host" ;;
*)
    sed -n '5,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
target=$1
seconds=${2:-600}
jobs=${3:-1}
sanitizers=address,undefined

[ -e build/fuzz/build.ninja ] || CC=${CC:-clang} meson setup build/fuzz -Dtests=false \
    -Dexamples=false -Dbench=false -Db_sanitize=$sanitizers -Db_lundef=false \
    -Dc_args="-fno-sanitize-recover=all -fsanitize=fuzzer-no-link"
ninja -C build/fuzz lib/libmodelmesh-internal.a
# shellcheck disable=SC2086 # words are options
${CC:-clang} -g -O1 -fsanitize=$sanitizers,fuzzer -fno-sanitize-recover=all -D_GNU_SOURCE \
    -Iinclude -Ilib -Itests $sources tests/support/fuzz_mutate.c \
    tests/support/fuzz_engine.c tests/support/world.c build/fuzz/lib/libmodelmesh-internal.a \
    -lcmocka -lm -lpthread -o "build/fuzz/fuzz_$target"

mkdir -p "build/fuzz/$target"
cd "build/fuzz/$target"
mkdir -p corpus
# To weigh the corpus (entropic) takes longer than to run it.
exec "../fuzz_$target" -max_total_time="$seconds" -jobs="$jobs" -workers="$jobs" -timeout=20 \
    -entropic=0 -rss_limit_mb=2048 -max_len=16384 corpus "../../../$onnx/corpus"
