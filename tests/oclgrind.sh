#!/bin/sh
# SPDX-License-Identifier: MIT
# checkcl's quick rows in Oclgrind, which interprets kernels and reports every wild access and race.
set -u
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
oclgrind --data-races --log "$log" "$1" --quick --tier portable --schedule cpu --device oclgrind
status=$?
if [ -s "$log" ]; then
	head -n 40 "$log"
	echo "0 passed, 1 failed"
	exit 1
fi
exit $status
