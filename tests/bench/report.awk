# SPDX-License-Identifier: MIT
# The results of tests/bench/run, read by median.awk:
#     -v show=compared  a table in Markdown of what both programs did
#     -v show=formats   tables of Weir's own formats, and of bytes that decoding reads
#     -v show=ratios    lines "ratio WHAT MODEL TYPE VALUE": above 1 where Weir is better

# Seconds and memory are better when they are less.
function is_cost(what) { return what == "start" || what == "whole" || what == "memory" || what == "cold" }

# Above 1: Weir is better. 0: there is nothing to compare.
function ratio(key,    part, w, l) {
	split(key, part, SUBSEP)
	w = median(key, "weir")
	l = median(key, "llama")
	if (!w || !l)
		return 0
	return is_cost(part[1]) ? l / w : w / l
}

# GB a second of weights that decoding reads. 0: not known.
function rate(what, model, type) { return read(model, type) * median(what SUBSEP model SUBSEP type, "weir") / 1e9 }

# What weights and cache take, in what the process takes at its peak: 1 would be nothing else.
function need(model, type,    peak) {
	peak = median("memory" SUBSEP model SUBSEP type, "weir") * 1024
	return peak && fact["cache", model, type] ? (fact["bytes", model, type] + fact["cache", model, type]) / peak : 0
}

function number(x, what) {
	if (!x)
		return ""
	if (what == "memory")
		return sprintf("%.0f MiB", x / 1024)
	if (is_cost(what))
		return sprintf(x < 1 ? "%.3f s" : "%.2f s", x)
	return sprintf(x < 100 ? "%.1f" : "%.0f", x)
}

function percent(key, program) { return median(key, program) ? sprintf("%.0f %%", spread(key, program)) : "" }
function two(x) { return x ? sprintf("%.2f", x) : "" }

function words(what,    n) {
	if (what == "start")
		return "start to first token"
	if (what == "whole")
		return "one token, whole process"
	if (what == "memory")
		return "its peak memory"
	if (what == "cold")
		return "start to first token, no kernel compiled yet"
	n = what
	gsub(/[^0-9]/, "", n)
	if (what ~ /^prefill/)
		return "prompt of " (n ? n : 512)
	return "new tokens" (n ? " after " n : "") (what ~ /-busy$/ ? ", neighbours on all CPUs" : "")
}

# Weir's formats take turns with each other, the rest with llama.cpp.
function is_own(what) { return what ~ /-own$/ }

# Whether rounds of one program differ by more than half of their median.
function disturbed(key) { return spread(key, "weir") > 50 || spread(key, "llama") > 50 }

function compared(    i, n, part, what, key) {
	print "| model | type | | llama.cpp | ± | Weir | ± | ratio |"
	print "|---|---|---|---|---|---|---|---|"
	for (i = 1; i <= keys; i++) {
		key = order[i]
		split(key, part, SUBSEP)
		what = part[1]
		if (!is_own(what))
			printf "| %s | %s | %s | %s | %s | %s | %s | %s |\n", part[2], part[3], words(what),
				number(median(key, "llama"), what), percent(key, "llama"),
				number(median(key, "weir"), what), percent(key, "weir"), two(ratio(key))
		n += !is_own(what) && disturbed(key)
	}
	print ""
	if (n)
		printf "In %d of these rows rounds differ by more than 50 %%: something else ran, and they say little.\n\n", n
}

function own_table(    i, part, key, n) {
	for (i = 1; i <= keys; i++) {
		key = order[i]
		split(key, part, SUBSEP)
		if (!is_own(part[1]))
			continue
		if (!n++) {
			print "| model | type | | Weir | ± |"
			print "|---|---|---|---|---|"
		}
		printf "| %s | %s | %s | %s | %s |\n", part[2], part[3], words(part[1]), number(median(key, "weir"), part[1]),
			percent(key, "weir")
	}
	if (n)
		print ""
}

# How many bytes of its weights a second decoding reads.
function bytes_table(    i, part, gb) {
	printf "Bytes of weights that new tokens read"
	if (bandwidth())
		printf "; plain reading by as many threads gives %.1f GB/s here", bandwidth()
	print ":\n"
	print "| model | type | weights | GB/s | of reading |"
	print "|---|---|---|---|---|"
	for (i = 1; i <= keys; i++) {
		split(order[i], part, SUBSEP)
		gb = rate(part[1], part[2], part[3])
		if (part[1] == "decode" || (is_own(part[1]) && part[1] ~ /^decode/ && part[3] ~ /^W/))
			printf "| %s | %s | %.1f MB | %.1f | %s |\n", part[2], part[3], read(part[2], part[3]) / 1e6, gb,
				bandwidth() ? sprintf("%.0f %%", 100 * gb / bandwidth()) : ""
	}
	print ""
}

# Two types of one model by what Weir does with each byte.
function by_bytes(model, type, other,    a, b) {
	a = rate("decode-own", model, type)
	b = rate("decode-own", model, other)
	if (a && b)
		printf "ratio decode-by-bytes %s %s/%s %.2f\n", model, type, other, a / b
}

# Weir's own formats beside those that they are to be faster than.
function own_lines(model,    a, b) {
	by_bytes(model, "W4", "Q4_0")
	by_bytes(model, "W3", "W4")
	by_bytes(model, "W2", "W4")
	a = median("prefill-own" SUBSEP model SUBSEP "W8A8", "weir")
	b = median("prefill-own" SUBSEP model SUBSEP "Q8_0", "weir")
	if (a && b)
		printf "ratio prefill %s W8A8/Q8_0 %.2f\n", model, a / b
}

function lines(    i, part, m) {
	for (i = 1; i <= keys; i++) {
		split(order[i], part, SUBSEP)
		if (ratio(order[i]))
			printf "ratio %s %s %s %.2f\n", part[1], part[2], part[3], ratio(order[i])
		if (part[1] == "decode-own")
			models[part[2]] = 1
		if (part[1] == "memory" && need(part[2], part[3]))
			printf "ratio memory-by-need %s %s %.2f\n", part[2], part[3], need(part[2], part[3])
		# What lies in caches in part is not measured by what memory gives.
		if (part[1] == "decode" && part[2] == "random-1.1B" && bandwidth())
			printf "ratio bandwidth %s %s %.2f\n", part[2], part[3], rate("decode", part[2], part[3]) / bandwidth()
	}
	for (m in models)
		own_lines(m)
}

END {
	if (show == "ratios") {
		lines()
	} else if (show == "compared") {
		compared()
	} else {
		own_table()
		bytes_table()
	}
}
