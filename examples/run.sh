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

may_install() {
    [ "$(id -u)" = 0 ] && return
    command -v sudo >/dev/null || return
    sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; } || return
    as_root=sudo
}

install_missing() {
    local packages as_root=""
    packages=$(missing_packages | tr '\n' ' ')
    [ -z "$packages" ] && return
    if ! command -v apt-get >/dev/null; then
        echo "Missing. On Debian 12 these packages have it: $packages" >&2
        exit 2
    fi
    if ! may_install; then
        echo "Missing tools, and no right to install them. As root: apt-get install $packages" >&2
        exit 2
    fi
    step "install $packages" sh -c "$as_root apt-get update -q && $as_root env \
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages" ||
        exit 2
    packages=$(missing_packages | tr '\n' ' ')
    if [ -n "$packages" ]; then
        echo "Still missing: $packages" >&2
        exit 2
    fi
}

# ---- Steps --------------------------------------------------------------------------------------
# They speak on stderr: stdout is the demo's, so that `examples/run.sh --log | grep evict` works.

# While a step runs, on a terminal: its name, the seconds, and what it says last.
watch_log() {
    local name=$1 log=$2 began=$SECONDS width
    width=$(tput cols 2>/dev/null || echo 80)
    while sleep 1; do
        printf '\r\033[K%.*s' "$((width - 1))" \
            "$name: $((SECONDS - began)) s  $(tail -c 400 "$log" | tr '\r' '\n' | tail -n 1)" >&2
    done
}

# step NAME COMMAND...: runs it into a log, prints name, result and seconds. Status: the command's.
step() {
    local name=$1 log status began=$SECONDS watcher=""
    shift
    log="$home/logs/$(echo "$name" | tr -c 'a-z0-9\n' '-' | cut -c 1-40).log"
    mkdir -p "$home/logs"
    : >"$log"
    if [ -t 2 ]; then
        watch_log "$name" "$log" &
        watcher=$!
    else
        printf '%s ... ' "$name" >&2
    fi
    "$@" >"$log" 2>&1 </dev/null
    status=$?
    if [ -n "$watcher" ]; then
        kill "$watcher" 2>/dev/null
        wait "$watcher" 2>/dev/null
        printf '\r\033[K%s ... ' "$name" >&2
    fi
    if [ $status -eq 0 ]; then
        echo "$((SECONDS - began)) s" >&2
    else
        echo "FAILED after $((SECONDS - began)) s; the end of $log:" >&2
        tail -n 30 "$log" | sed 's/^/    /' >&2
    fi
    return $status
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
cd "$called_from" && exec "$root/$zoo" --data "$root/$home/zoo" "$@"
