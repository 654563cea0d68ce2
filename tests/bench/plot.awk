# SPDX-License-Identifier: MIT
# Draws lines "SERIES X Y" as an SVG, both axes from zero: -v title= -v xlabel= -v ylabel=

{
	if (!($1 in number)) {
		number[$1] = ++n_series
		name[n_series] = $1
	}
	x[NR] = $2
	y[NR] = $3
	of[NR] = number[$1]
	x_most = $2 > x_most ? $2 : x_most
	y_most = $3 > y_most ? $3 : y_most
}

# A step of 1, 2 or 5 times a power of ten, of which most takes four to ten.
function step_of(most,    step) {
	step = 1
	while (step * 10 <= most)
		step *= 10
	while (step > most)
		step /= 10
	return most / step >= 4 ? step : most / step >= 2 ? step / 2 : step / 5
}

function px(v) { return sprintf("%.1f", left + v / x_most * (width - left - right)) }
function py(v) { return sprintf("%.1f", height - bottom - v / y_most * (height - top - bottom)) }

function text(at_x, at_y, anchor, words) {
	printf "<text x=\"%s\" y=\"%s\" text-anchor=\"%s\">%s</text>\n", at_x, at_y, anchor, words
}

function line(x1, y1, x2, y2, class) {
	printf "<line x1=\"%s\" y1=\"%s\" x2=\"%s\" y2=\"%s\" class=\"%s\"/>\n", x1, y1, x2, y2, class
}

function axes(    v, step) {
	step = step_of(y_most)
	for (v = 0; v <= y_most * 1.0001; v += step) {
		line(left, py(v), width - right, py(v), "grid")
		text(left - 6, py(v) + 4, "end", v)
	}
	step = step_of(x_most)
	for (v = 0; v <= x_most * 1.0001; v += step) {
		line(px(v), height - bottom, px(v), height - bottom + 4, "axis")
		text(px(v), height - bottom + 18, "middle", v)
	}
	line(left, height - bottom, width - right, height - bottom, "axis")
	text((left + width - right) / 2, height - 8, "middle", xlabel)
	text(left, 16, "start", ylabel (title ? ", " title : ""))
}

function series(s,    i, path, last) {
	for (i = 1; i <= NR; i++) {
		if (of[i] != s)
			continue
		path = path (path ? " " : "") px(x[i]) "," py(y[i])
		printf "<circle cx=\"%s\" cy=\"%s\" r=\"3\" class=\"s%d\"/>\n", px(x[i]), py(y[i]), s
		last = i
	}
	printf "<polyline points=\"%s\" class=\"s%d\"/>\n", path, s
	text(px(x[last]) + 6, py(y[last]) + 4, "start", name[s])
}

END {
	width = 640
	height = 360
	left = 50
	right = 90
	top = 30
	bottom = 50
	x_most = x_most ? x_most : 1
	y_most = y_most ? y_most : 1
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n", width, height
	print "<style>.grid{stroke:#ddd}.axis{stroke:#444}polyline{fill:none;stroke-width:2}circle{stroke:none}"
	print "polyline.s1{stroke:#c60}circle.s1{fill:#c60}polyline.s2{stroke:#06c}circle.s2{fill:#06c}</style>"
	printf "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", width, height
	axes()
	for (i = 1; i <= n_series; i++)
		series(i)
	print "</svg>"
}
