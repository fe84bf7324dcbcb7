# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What examples/run.sh and tests/run.sh share: to install what is missing, and to do long things in
# steps that show where they are. Sourced in the project's root, by a script that has set
#   step_logs   the folder for the logs of steps
#   missing_packages   a function: what apt-get would have to install, one package a line
# and opened descriptor 3: where steps speak.

may_install() {
    [ "$(id -u)" = 0 ] && return
    command -v sudo >/dev/null || return
    sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; } || return
    as_root=sudo
}

# Exit code 2: a tool is missing and may not be installed.
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

# While a step runs, on a terminal: its name, the seconds, and what it says last.
watch_log() {
    local name=$1 log=$2 began=$SECONDS width
    width=$(tput cols 2>/dev/null || echo 80)
    while sleep 1; do
        printf '\r\033[K%.*s' "$((width - 1))" \
            "$name: $((SECONDS - began)) s  $(tail -c 400 "$log" | tr '\r' '\n' | tail -n 1)" >&3
    done
}

# step NAME COMMAND...: runs it into a log, says name, result and seconds. Status: the command's.
step() {
    local name=$1 log status began=$SECONDS watcher=""
    shift
    log="$step_logs/$(echo "$name" | tr -c 'a-z0-9\n' '-' | cut -c 1-40).log"
    mkdir -p "$step_logs"
    : >"$log"
    if [ -t 3 ]; then
        watch_log "$name" "$log" &
        watcher=$!
    fi
    "$@" >"$log" 2>&1 </dev/null 3>&-
    status=$?
    if [ -n "$watcher" ]; then
        kill "$watcher" 2>/dev/null
        wait "$watcher" 2>/dev/null
        printf '\r\033[K' >&3
    fi
    if [ $status -eq 0 ]; then
        printf '%-44s ok      %4d s\n' "$name" $((SECONDS - began)) >&3
    else
        printf '%-44s FAILED  %4d s   %s\n' "$name" $((SECONDS - began)) "$log" >&3
        tail -n 60 "$log" | sed 's/^/    /' >&3
    fi
    return $status
}
