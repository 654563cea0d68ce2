#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs a fuzz target for some seconds from the seeds it knows: tests/fuzz.sh TARGET CORPUS SECONDS
set -u
mkdir -p "$2"
WEIR_FUZZ_SEEDS=$2 "$1" -max_total_time="$3" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$2/" \
	-print_final_stats=1 "$2" >"$2.log" 2>&1
status=$?
tail -n 30 "$2.log"
if [ "$status" -eq 0 ]; then echo "1 passed, 0 failed"; else echo "0 passed, 1 failed"; fi
exit "$status"
