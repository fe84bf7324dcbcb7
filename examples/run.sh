#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Shows what libmodelmesh is for: 100 real models in one process with memory for 20 (the zoo demo).
#
#     examples/run.sh [OPTION ...]      options of the demo: --help, --log, --seconds S ...
#
# The first run, on Debian 12 as root or with sudo: installs what is missing (a compiler, meson,
# python3-venv, a font, a voice), fetches the public models, makes variants of them, builds the
# library and the demo. All of it lies in build/examples, 1 GB. Later runs start the demo at once
# and need no network. Exit code: the demo's; 2 if a tool is missing and may not be installed.
set -u
called_from=$PWD
cd "$(dirname "$0")/.." || exit 2
root=$PWD
home=build/examples
zoo=$home/release/examples/zoo/zoo
step_logs=$home/logs
exec 3>&2 # steps speak there: stdout is the demo's, so that `run.sh --log | grep evict` works
. scripts/steps.sh

# ---- Tools --------------------------------------------------------------------------------------

# What apt-get would have to install, one package a line.
missing_packages() {
    local need
    for need in gcc:gcc meson:meson ninja:ninja-build pkg-config:pkg-config python3:python3 \
        espeak-ng:espeak-ng; do
        command -v "${need%%:*}" >/dev/null || echo "${need#*:}"
    done
    [ -e /usr/include/stdio.h ] || echo libc6-dev
    [ -e /usr/include/xxhash.h ] || echo libxxhash-dev
    [ -e /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf ] || echo fonts-dejavu-core
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

# made NAME FILE... -- COMMAND...: a step that is left out while the files are what they were when
# it was last done.
made() {
    local name=$1 files=() stamp sum
    shift
    while [ "$1" != -- ]; do
        files+=("$1")
        shift
    done
    shift
    stamp="$home/stamps/$(echo "$name" | tr -c 'a-z0-9\n' '-')"
    sum=$(sha256sum "${files[@]}")
    [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ] && return
    step "$name" "$@" || exit 1
    mkdir -p "$home/stamps"
    echo "$sum" >"$stamp"
}

# ---- Parts --------------------------------------------------------------------------------------

make_venv() {
    python3 -m venv --clear "$home/venv" &&
        "$home/venv/bin/pip" --disable-pip-version-check install --no-deps --only-binary :all: \
            -r examples/zoo/requirements.txt
}

make_variants() {
    rm -f "$home"/zoo/models/*-[0-9][0-9].onnx
    "$home/venv/bin/python" examples/zoo/variants.py "$home/zoo"
}

build() {
    [ -e "$home/release/build.ninja" ] ||
        meson setup "$home/release" -Dbuildtype=release -Dtests=false -Dbench=false || return
    ninja -C "$home/release"
}

# ---- Everything ---------------------------------------------------------------------------------

case " $* " in *" --help "*)
    [ -x "$zoo" ] && exec "$zoo" --help
    sed -n '3,/^set/{s/^# \{0,1\}//;/^set/d;p}' examples/run.sh
    exit 0
    ;;
esac
install_missing
tools=examples/zoo
python=$home/venv/bin/python
made "set up Python" $tools/requirements.txt -- make_venv
made "fetch the models" $tools/models.txt $tools/models.py $tools/fetch.py \
    -- "$python" $tools/fetch.py "$home/zoo"
made "make the variants" $tools/models.txt $tools/models.py $tools/variants.py -- make_variants
made "draw and speak" $tools/picture.txt $tools/sentence.txt $tools/files.txt $tools/things.py \
    -- "$python" $tools/things.py "$home/zoo"
step "build" build || exit 1
"${zoo}-pods" || exit 1
cd "$called_from" && exec "$root/$zoo" --data "$root/$home/zoo" "$@" 3>&-
