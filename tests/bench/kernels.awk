# SPDX-License-Identifier: MIT
# The lines of build/tests/bench/kernels that know a limit, as a table in Markdown.

BEGIN {
	print "Kernels, weights past all caches, beside what plain reading or the arithmetic units' peak gives in turns with them:\n"
	print "| kernel | weights | shape | | limit | share |"
	print "|---|---|---|---|---|---|"
}
$1 == "kernel" && $7 == "limit" && $8 > 0 {
	unit = $5 == "GBs" ? "GB/s" : $5
	printf "| %s | %s | %s | %s %s | %s | %.0f %% |\n", $2, $3, $4, $6, unit, $8, 100 * $10
}
END { print "" }
