# SPDX-License-Identifier: MIT
# The results of tests/bench/sweep, read by median.awk, as tables in Markdown or as points of a plot, "PROGRAM X Y":
#     -v show=tables|points-context|points-size -v swept=MODEL -v gen=TOKENS

function program_name(i) { return i == 1 ? "llama" : "weir" }
function title_of(program) { return program == "llama" ? "llama.cpp" : "Weir" }
function ms(key, program) { return median(key, program) ? 1000 / median(key, program) : 0 }
function cell(x) { return x ? sprintf(x < 10 ? "%.2f" : "%.1f", x) : "" }

# Positions that the tokens of a key see on average; 0: no such key.
function context_of(key,    part) {
	split(key, part, SUBSEP)
	return part[1] ~ /^decode-[0-9]+$/ && part[2] == swept ? substr(part[1], 8) + (gen + 1) / 2 : 0
}

function size_of(key,    part) {
	split(key, part, SUBSEP)
	return part[1] == "decode" ? read(part[2], part[3]) / 1e6 : 0
}

function x_of(key, what) { return what == "context" ? context_of(key) : size_of(key) }

# Least squares: a + b x. How many points.
function fit(what, program,    i, x, y, n, sx, sy, sxx, sxy, d) {
	for (i = 1; i <= keys; i++) {
		x = x_of(order[i], what)
		y = ms(order[i], program)
		if (!x || !y)
			continue
		n++
		sx += x
		sy += y
		sxx += x * x
		sxy += x * y
	}
	d = n * sxx - sx * sx
	b = d > 0 ? (n * sxy - sx * sy) / d : 0
	a = n ? (sy - b * sx) / n : 0
	return d > 0 ? n : 0
}

function points(what,    i, p) {
	for (p = 1; p <= 2; p++)
		for (i = 1; i <= keys; i++)
			if (x_of(order[i], what) && ms(order[i], program_name(p)))
				print title_of(program_name(p)), x_of(order[i], what), ms(order[i], program_name(p))
}

# What a slope of ms by bytes says. bytes: that a step of x moves.
function slope_line(program, bytes, what,    gb) {
	if (b <= 0 || bytes <= 0)
		return
	gb = bytes / b / 1e6
	printf "- %s: %.2f ms, and %.3f us for %s: %.1f GB/s", title_of(program), a, b * 1000, what, gb
	printf bandwidth() ? ", %.0f %% of reading\n" : "\n", 100 * gb / bandwidth()
}

function context_table(    i, p, w, l, position) {
	print "| tokens in the context | llama.cpp, ms | Weir, ms | ratio |"
	print "|---|---|---|---|"
	for (i = 1; i <= keys; i++) {
		if (!context_of(order[i]))
			continue
		w = ms(order[i], "weir")
		l = ms(order[i], "llama")
		printf "| %d | %s | %s | %s |\n", context_of(order[i]) + (gen - 1) / 2, cell(l), cell(w), w && l ? cell(l / w) : ""
	}
	position = fact["position", swept, "Q4_0"]
	printf "\nA position's K and V are %d bytes in %s. The straight line through the points, by least squares:\n\n", position, swept
	for (p = 1; p <= 2; p++)
		if (fit("context", program_name(p)))
			slope_line(program_name(p), position, "each position")
	print ""
}

function size_table(    i, p, part, w, l) {
	print "| model | weights that a token reads | llama.cpp, ms | GB/s | Weir, ms | GB/s | ratio |"
	print "|---|---|---|---|---|---|---|"
	for (i = 1; i <= keys; i++) {
		if (!size_of(order[i]))
			continue
		split(order[i], part, SUBSEP)
		w = ms(order[i], "weir")
		l = ms(order[i], "llama")
		printf "| %s %s | %.0f MB | %s | %s | %s | %s | %s |\n", part[2], part[3], size_of(order[i]), cell(l),
			l ? cell(size_of(order[i]) / l) : "", cell(w), w ? cell(size_of(order[i]) / w) : "", w && l ? cell(l / w) : ""
	}
	print "\nThe straight line through the points, by least squares:\n"
	for (p = 1; p <= 2; p++)
		if (fit("size", program_name(p)) > 1)
			slope_line(program_name(p), 1e6, "each MB")
}

END {
	if (show == "points-context")
		points("context")
	else if (show == "points-size")
		points("size")
	else {
		if (bandwidth())
			printf "Plain reading by as many threads gives %.1f GB/s here.\n\n", bandwidth()
		context_table()
		size_table()
	}
}
