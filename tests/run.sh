#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds libmodelmesh in every way that matters and runs every test. The last line is the result:
# "N passed, N failed"; exit 1 if any failed, 2 if a tool is missing and may not be installed.
# Builds and logs lie under build/ and are used again by the next run.
set -u
cd "$(dirname "$0")/.." || exit 2

passed=0
failed=0
step_logs=build/logs
exec 3>&1
. scripts/steps.sh

# ---- Tools --------------------------------------------------------------------------------------

# What apt-get would have to install, one package a line.
missing_packages() {
    local need
    for need in gcc:gcc g++:g++ clang:clang meson:meson ninja:ninja-build pkg-config:pkg-config \
        python3:python3 clang-format:clang-format; do
        command -v "${need%%:*}" >/dev/null || echo "${need#*:}"
    done
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    for need in cmocka:libcmocka-dev libxxhash:libxxhash-dev libjpeg:libjpeg-dev libpng:libpng-dev \
        libwebp:libwebp-dev libtiff-4:libtiff-dev libopenjp2:libopenjp2-7-dev; do
        pkg-config --exists "${need%%:*}" 2>/dev/null || echo "${need#*:}"
    done
    [ -e /usr/include/stdio.h ] || echo libc6-dev
    # The sanitizers' runtime is only recommended by clang, so it may be missing beside it.
    if ! echo 'int main(void) { return 0; }' |
        clang -x c -fsanitize=address -o /dev/null - 2>/dev/null; then
        echo libclang-rt-14-dev
    fi
}

# ---- Steps --------------------------------------------------------------------------------------

# A step that is one test.
check() {
    if step "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
}

# Add what `meson test` wrote to the counts.
count_tests() {
    local counts
    counts=$(python3 - "$1" <<'PYTHON'
import json, sys
good = bad = 0
for line in open(sys.argv[1], encoding='utf-8'):
    result = json.loads(line)['result']
    good += result in ('OK', 'EXPECTEDFAIL')
    bad += result not in ('OK', 'EXPECTEDFAIL', 'SKIP')
print(good, bad)
PYTHON
    ) || counts="0 1"
    passed=$((passed + ${counts% *}))
    failed=$((failed + ${counts#* }))
}

# build NAME COMPILER SETUP-OPTIONS...: sets up and compiles build/NAME. A failure counts as one.
build() {
    local name=$1 compiler=$2 cxx=$2++ fresh=()
    shift 2
    [ -e "build/$name/build.ninja" ] && fresh=(--reconfigure)
    [ "$compiler" = gcc ] && cxx=g++
    if ! step "$name: set up" env CC="$compiler" CXX="$cxx" meson setup \
        "${fresh[@]}" "build/$name" -Dwerror=true "$@" ||
        ! step "$name: compile" ninja -C "build/$name"; then
        failed=$((failed + 1))
        return 1
    fi
}

# test_build NAME PATIENCE RUNNER...: runs the tests of build/NAME; each may take PATIENCE times its
# usual time; RUNNER goes before meson.
test_build() {
    local name=$1 patience=$2
    shift 2
    rm -f "build/$name/meson-logs/testlog.json"
    step "$name: test" "$@" meson test -C "build/$name" --no-rebuild --no-suite lint \
        --timeout-multiplier "$patience" --print-errorlogs
    count_tests "build/$name/meson-logs/testlog.json"
}

# The minimal library needs nothing at run time but libc and libm.
needs_only_libc() {
    ! readelf -d build/minimal/lib/libmodelmesh.so | grep NEEDED |
        grep -v -e '\[libc\.so' -e '\[libm\.so' -e '\[ld-linux'
}

# ---- Everything ---------------------------------------------------------------------------------

install_missing
export ASAN_OPTIONS=halt_on_error=1:abort_on_error=1:detect_leaks=1
export UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:abort_on_error=1:second_deadlock_stack=1
# TSan of this age cannot place its shadow when the kernel randomises addresses widely.
fixed_addresses=()
setarch "$(uname -m)" -R true 2>/dev/null && fixed_addresses=(setarch "$(uname -m)" -R)

check "lint" python3 tests/lint
check "lint: its own test" python3 tests/lint_test.py

if build release gcc -Dbuildtype=release -Dimages=enabled; then
    test_build release 2
    check "ONNX: its own tests" tests/backends/onnx/suite.sh build/release
    check "ONNX: public models answer as ONNX Runtime" python3 bench/peers/onnx.py --rounds 0
    check "ONNX: random graphs answer as in other engines" \
        python3 tests/differential/differential.py --count 2000
fi
check "the zoo demo" examples/run.sh --requests 3000
if build asan clang -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false; then
    test_build asan 4
fi
if build tsan clang -Dbuildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false; then
    test_build tsan 6 "${fixed_addresses[@]}"
fi
if build minimal gcc -Dbuildtype=release -Dauto_features=disabled -Dtests=false -Dexamples=false \
    -Dbench=false; then
    check "minimal: needs nothing but libc" needs_only_libc
fi

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
