#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Random ONNX graphs in ours and in other engines, over build/release (or BUILD):
#
#   [BUILD=DIR] tests/long/differential.sh [COUNT [FIRST]]     default: 50000 graphs, from seed 0
#
# The normal run does the first 2,000 of them. Ends with how often each operator was met.
set -eu
cd "$(dirname "$0")/../.."
exec python3 tests/differential/differential.py --build "${BUILD:-build/release}" --report \
    --count "${1:-50000}" --first "${2:-0}"
