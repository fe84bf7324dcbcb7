#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Trains models with scikit-learn, LightGBM, XGBoost and CatBoost, exports them, and holds our
# answers against theirs, over a build that exists:
#
#   tests/exporters/run.sh [BUILD] [NAME ...]        default: build/release
#
# NAME: what the names of pipelines begin with; none: all. The first run puts the exporters into
# build/exporters (needs python3-venv, a network and 1.5 GB). The last line is the result, "N
# passed, N failed"; exit code: 1 if any failed, 2 if there is no build, or no exporters.
set -u
cd "$(dirname "$0")/../.." || exit 2
here=tests/exporters
build=${1:-build/release}
[ $# -gt 0 ] && shift
library=$build/lib/libmodelmesh.so.0
home=build/exporters

if [ ! -e "$library" ]; then
    echo "$library is not there: meson setup and ninja first"
    exit 2
fi

install() {
    rm -f "$home/installed"
    python3 -m venv --clear "$home/venv" &&
        "$home/venv/bin/pip" --disable-pip-version-check install --quiet --no-deps \
            --only-binary :all: -r $here/requirements.txt &&
        cp $here/requirements.txt "$home/installed"
}
mkdir -p "$home"
if ! cmp -s $here/requirements.txt "$home/installed" && ! install; then
    echo "no exporters: could not install them"
    exit 2
fi

# ONNX Runtime compares texts by the locale that the exporter names; few machines have it.
mkdir -p "$home/locale"
if [ -d /usr/lib/locale/C.utf8 ] && [ ! -e "$home/locale/en_US.utf8" ]; then
    cp -r /usr/lib/locale/C.utf8 "$home/locale/en_US.utf8"
fi
export LOCPATH=$PWD/$home/locale OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
exec "$home/venv/bin/python" -B $here/main.py --library "$library" "$@"
