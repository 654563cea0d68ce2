/* SPDX-License-Identifier: MIT */
/* A network's memory map as an SVG picture: a rectangle a tensor, steps from left to right, bytes from bottom to top. */
#include <stdio.h>
#include <string.h>

#include "memory.h"

/* The picture and its field of rectangles, in pixels. */
enum {
	SVG_WIDTH = 1100,
	SVG_HEIGHT = 640,
	SVG_LEFT = 90,
	SVG_TOP = 50,
	SVG_RIGHT = 20,
	SVG_BOTTOM = 60,
	SVG_FIELD_WIDTH = SVG_WIDTH - SVG_LEFT - SVG_RIGHT,
	SVG_FIELD_HEIGHT = SVG_HEIGHT - SVG_TOP - SVG_BOTTOM,
	SVG_LETTER = 6, /* of text 10 pixels high, on average */
};

/* Text as XML takes it: what is not UTF-8, or a character that XML has not, becomes U+FFFD. */
static void svg_text(FILE *f, const char *text, size_t len)
{
	struct json_object *clean = json_text(text, len);
	const unsigned char *s = (const unsigned char *)(clean ? json_object_get_string(clean) : "");

	for (; *s; s++) {
		if (*s == '&')
			fputs("&amp;", f);
		else if (*s == '<')
			fputs("&lt;", f);
		else if (*s == '>')
			fputs("&gt;", f);
		else if (*s == '"')
			fputs("&quot;", f);
		else if (*s < ' ' || *s == 127)
			fputs("\xef\xbf\xbd", f);
		else if (s[0] == 0xef && s[1] == 0xbf && (s[2] & 0xfe) == 0xbe)
			fputs("\xef\xbf\xbd", f), s += 2; /* U+FFFE, U+FFFF */
		else
			fputc(*s, f);
	}
	json_object_put(clean);
}

static double svg_x(const struct memory_map *m, double step)
{
	return SVG_LEFT + SVG_FIELD_WIDTH * step / m->steps;
}

static double svg_y(const struct memory_map *m, double byte)
{
	return SVG_TOP + SVG_FIELD_HEIGHT * (1 - byte / (double)m->bytes);
}

/* 1, 2 or 5 times a power of ten (of two with binary), so that there are about n of them. */
static double tick(double whole, double n, bool binary)
{
	static const double steps[] = {1, 2, 5, 10};
	double unit = 1;

	if (binary) {
		while (unit * n < whole)
			unit *= 2;
		return unit;
	}
	while (unit * 10 * n < whole)
		unit *= 10;
	for (size_t i = 0; i < 4; i++) {
		if (unit * steps[i] * n >= whole)
			return unit * steps[i];
	}
	return unit * 10;
}

static void svg_axes(FILE *f, const struct memory_map *m)
{
	double bytes = tick((double)m->bytes, 8, true), steps = tick(m->steps, 12, false);
	char label[32];

	for (double b = 0; b <= (double)m->bytes; b += bytes)
		fprintf(f, "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text class=\"y\" x=\"%d\" y=\"%.1f\">%s</text>\n", SVG_LEFT,
			svg_y(m, b), SVG_WIDTH - SVG_RIGHT, SVG_LEFT - 6, svg_y(m, b) + 4,
			format_bytes((uint64_t)b, label, sizeof(label)));
	for (double s = 0; s < m->steps; s += steps)
		fprintf(f, "<path class=\"grid\" d=\"M%.1f %dv5\"/><text class=\"x\" x=\"%.1f\" y=\"%d\">%.0f</text>\n",
			svg_x(m, s), SVG_HEIGHT - SVG_BOTTOM, svg_x(m, s), SVG_HEIGHT - SVG_BOTTOM + 18, s);
	fprintf(f, "<path class=\"axis\" d=\"M%d %dV%dH%d\"/>\n", SVG_LEFT, SVG_TOP, SVG_HEIGHT - SVG_BOTTOM,
		SVG_WIDTH - SVG_RIGHT);
	fprintf(f, "<text class=\"x\" x=\"%d\" y=\"%d\">step</text>\n", SVG_LEFT + SVG_FIELD_WIDTH / 2, SVG_HEIGHT - 14);
	fprintf(f, "<text class=\"x\" transform=\"translate(16 %d) rotate(-90)\">address in the arena</text>\n",
		SVG_TOP + SVG_FIELD_HEIGHT / 2);
}

/* The whole name if there is room, or its last part, or what makes the tensor. */
static void svg_label(FILE *f, const struct weir_net_block *b, double x, double y, double width, double height)
{
	const char *slash = strrchr(b->name, '/'), *texts[] = {b->name, slash ? slash + 1 : b->name, b->op};

	for (size_t i = 0; i < 3 && height >= 11; i++) {
		if (!*texts[i] || (double)strlen(texts[i]) * SVG_LETTER + 4 > width)
			continue;
		fprintf(f, "<text x=\"%.1f\" y=\"%.1f\">", x + 2, y + height / 2 + 3.5);
		svg_text(f, texts[i], strlen(texts[i]));
		fputs("</text>\n", f);
		return;
	}
}

static void svg_block(FILE *f, const struct memory_map *m, unsigned i)
{
	const struct weir_net_block *b = &m->blocks[i];
	double x = svg_x(m, b->first), y = svg_y(m, (double)(b->at + b->bytes));
	double width = svg_x(m, b->last + 1.0) - x, height = svg_y(m, (double)b->at) - y;
	/* Hues by the golden angle: neighbours differ. */
	unsigned hue = (unsigned)(i * 137.508) % 360;

	fprintf(f, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"hsl(%u,60%%,%u%%)\"%s><title>", x, y,
		width, height, hue, b->ring < b->rows ? 85 : 75, b->ring < b->rows ? " stroke-dasharray=\"3 2\"" : "");
	svg_text(f, b->name, strlen(b->name));
	fputs("\nmade by ", f);
	svg_text(f, b->op, strlen(b->op));
	fprintf(f, "\n%llu bytes at %llu, steps %u to %u", (unsigned long long)b->bytes, (unsigned long long)b->at, b->first,
		b->last);
	if (b->ring < b->rows)
		fprintf(f, "\n%u of %u rows kept", b->ring, b->rows);
	fputs("</title></rect>\n", f);
	svg_label(f, b, x, y, width, height);
}

static void svg_write(FILE *f, const struct memory_map *m)
{
	fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n", SVG_WIDTH,
		SVG_HEIGHT, SVG_WIDTH, SVG_HEIGHT);
	fputs("<style>text{font:10px sans-serif} .x{text-anchor:middle;font-size:12px} .y{text-anchor:end;font-size:12px} "
	      ".grid{stroke:#ddd} .axis{stroke:#000;fill:none} rect{stroke:#333;stroke-width:.6;fill-opacity:.85}</style>\n",
		f);
	fprintf(f, "<rect width=\"%d\" height=\"%d\" style=\"fill:#fff;stroke:none\"/>\n", SVG_WIDTH, SVG_HEIGHT);
	fprintf(f, "<text x=\"%d\" y=\"24\" style=\"font-size:14px\">%llu bytes of activations; step %u takes the most, "
		   "%llu bytes</text>\n",
		SVG_LEFT, (unsigned long long)m->bytes, m->peak, (unsigned long long)m->taken);
	svg_axes(f, m);
	for (unsigned i = 0; i < m->n; i++)
		svg_block(f, m, i);
	fputs("</svg>\n", f);
}

int memory_svg(const weir_net *net, const char *path)
{
	struct memory_map m;
	struct dump d;
	int status = memory_map_make(&m, net);

	if (!status)
		status = dump_open(&d, path);
	if (!status) {
		svg_write(d.file, &m);
		/* What a full disk cut off must not get the name. */
		if (fflush(d.file) || ferror(d.file))
			status = fail("cannot write %s", path);
		if (dump_close(&d, !status))
			status = 1;
	}
	memory_map_free(&m);
	return status;
}
