#!/bin/sh
# SPDX-License-Identifier: MIT
# The module's own unit tests, which KUnit ran when the module was loaded: collects what they said.
set -u
results=$(find /sys/kernel/debug/kunit -path '*/weir-*/results' 2>/dev/null)
[ -n "$results" ] || { echo "skip KUnit: this kernel, or this build of the module, has no unit tests"; exit 77; }
# The files are words. A case is indented, its suite is not.
passed=$(cat $results | grep -cE '^ +ok [0-9]+ ')
failed=$(cat $results | grep -cE '^ +not ok [0-9]+ ')
[ "$failed" -eq 0 ] || cat $results
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
