#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# As a user: install into an empty folder, build the examples in C and C++ through pkg-config, run
# them.
# out_of_tree.sh SOURCE BUILD
set -eu
source=$1
build=$2
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
DESTDIR="$place" meson install -C "$build" --no-rebuild --quiet
export PKG_CONFIG_SYSROOT_DIR="$place"
PKG_CONFIG_PATH=$(dirname "$(find "$place" -name modelmesh.pc)")
LD_LIBRARY_PATH=$(dirname "$(find "$place" -name libmodelmesh.so)")
export PKG_CONFIG_PATH LD_LIBRARY_PATH
flags=$(pkg-config --cflags --libs modelmesh)
# shellcheck disable=SC2086 # flags are words
gcc -std=c11 -Wall -Wextra -Werror "$source/examples/hello/hello.c" $flags -o "$place/hello"
# shellcheck disable=SC2086
g++ -std=c++17 -Wall -Wextra -Werror "$source/examples/hello/hello.cc" $flags -o "$place/hello-cc"
"$place/hello" | tee "$place/said"
grep -q '^model-0: hit, y\[0\] = 1$' "$place/said"
grep -q '^evict model=model-1 device=host .* for=model-2 reason=budget policy=lru$' "$place/said"
"$place/hello-cc" | grep -x 'echo: y = 1 2 3 4'
"$(find "$place" -name mmctl -type f)" version
