#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Models as their exporters write them, against what trained them: tests/exporters/run.sh [BUILD].
exec "$(dirname "$0")/../exporters/run.sh" "$@"
