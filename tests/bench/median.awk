# SPDX-License-Identifier: MIT
# Reads the results of tests/bench (see common.sh): values by what, model, type and program, and facts.

$1 == "value" {
	key = $2 SUBSEP $3 SUBSEP $4
	if (!(key in seen)) {
		seen[key] = 1
		order[++keys] = key
	}
	values[key, $5] = values[key, $5] " " $6
}
$1 == "bytes" || $1 == "spare" || $1 == "cache" || $1 == "position" { fact[$1, $2, $3] = $4 }
$1 == "limit" { values[$2, "limit"] = values[$2, "limit"] " " $3 }

# The numbers of a key, sorted into v; how many.
function sorted(key, program, v,    n, i, j, x) {
	n = split(values[key, program], v, " ")
	for (i = 2; i <= n; i++) {
		x = v[i] + 0
		for (j = i - 1; j > 0 && v[j] + 0 > x; j--)
			v[j + 1] = v[j]
		v[j + 1] = x
	}
	return n
}

# 0: there are none.
function median(key, program,    v, n) {
	n = sorted(key, program, v)
	if (!n)
		return 0
	return n % 2 ? v[(n + 1) / 2] + 0 : (v[n / 2] + v[n / 2 + 1]) / 2
}

# From the least to the most, in percent of the median.
function spread(key, program,    v, n, m) {
	n = sorted(key, program, v)
	m = median(key, program)
	return n > 1 && m ? 100 * (v[n] - v[1]) / m : 0
}

# GB a second of plain reading; 0: it was not measured.
function bandwidth() { return median("bandwidth", "limit") }

# Bytes of weights that a token reads.
function read(model, type) { return fact["bytes", model, type] - fact["spare", model, type] }
