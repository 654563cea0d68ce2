/* SPDX-License-Identifier: MIT */
/* A network's memory map in the terminal: addresses from bottom to top, steps from left to right. */
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "memory.h"

enum {
	DRAW_ROWS = 20,
	DRAW_LABEL = 11,   /* columns of an address */
	DRAW_STEP = 6,	   /* most columns of a step */
	DRAW_LEGEND = 12,  /* the largest tensors, with letters of their own */
};

struct drawing {
	const struct memory_map *map;
	unsigned width;		/* of the terminal */
	unsigned columns, each; /* of the grid; of a step, 0: a column is several steps */
	char *symbols;		/* by tensor */
	unsigned *largest;	/* tensors by size */
	bool utf8;
};

static int block_compare(const void *a, const void *b)
{
	const struct weir_net_block *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

static int address_compare(const void *a, const void *b)
{
	const struct weir_net_block *x = *(struct weir_net_block *const *)a, *y = *(struct weir_net_block *const *)b;

	return x->at < y->at ? -1 : x->at > y->at;
}

/* Bytes that are taken in a step; sorted: by address. */
static uint64_t taken(struct weir_net_block *const *sorted, unsigned n, unsigned step)
{
	uint64_t end = 0, sum = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct weir_net_block *b = sorted[i];
		uint64_t from = b->at > end ? b->at : end, to = b->at + b->bytes;

		if (b->first > step || b->last < step || to <= from)
			continue;
		sum += to - from;
		end = to;
	}
	return sum;
}

/* The most is taken in a step in which some tensor begins to be. */
static int peak_find(struct memory_map *m)
{
	struct weir_net_block **sorted = calloc(m->n + 1u, sizeof(*sorted));

	if (!sorted)
		return fail("out of memory for a memory map");
	for (unsigned i = 0; i < m->n; i++)
		sorted[i] = &m->blocks[i];
	qsort(sorted, m->n, sizeof(*sorted), address_compare);
	for (unsigned i = 0; i < m->n; i++) {
		uint64_t now_taken = taken(sorted, m->n, m->blocks[i].first);

		if (now_taken > m->taken) {
			m->taken = now_taken;
			m->peak = m->blocks[i].first;
		}
	}
	free(sorted);
	return 0;
}

int memory_map_make(struct memory_map *m, const weir_net *net)
{
	struct weir_net_info info;
	struct weir_net_block b;

	memset(m, 0, sizeof(*m));
	weir_net_info(net, &info);
	m->steps = info.steps ? info.steps : 1;
	m->bytes = info.activation_bytes ? info.activation_bytes : 1;
	while (!weir_net_block(net, m->n, &b))
		m->n++;
	m->blocks = calloc(m->n + 1u, sizeof(*m->blocks));
	if (!m->blocks)
		return fail("out of memory for a memory map");
	for (unsigned i = 0; i < m->n; i++)
		weir_net_block(net, i, &m->blocks[i]);
	qsort(m->blocks, m->n, sizeof(*m->blocks), block_compare);
	return peak_find(m);
}

void memory_map_free(struct memory_map *m)
{
	free(m->blocks);
	memset(m, 0, sizeof(*m));
}

static unsigned terminal_width(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || size.ws_col < 40)
		return 80;
	return size.ws_col;
}

/* What the environment says that is: main() reads UTF-8 whatever it says. */
static bool terminal_utf8(void)
{
	locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
	bool utf8 = locale && !strcmp(nl_langinfo_l(CODESET, locale), "UTF-8");

	if (locale)
		freelocale(locale);
	return utf8;
}

/* Steps [*from, *to) that column c shows. */
static void column_steps(const struct drawing *d, unsigned c, unsigned *from, unsigned *to)
{
	if (d->each) {
		*from = c / d->each;
		*to = *from + 1;
	} else {
		*from = (unsigned)((uint64_t)c * d->map->steps / d->columns);
		*to = (unsigned)((uint64_t)(c + 1) * d->map->steps / d->columns);
	}
}

/* The sign of the tensor that takes the most of a cell; '.': what there is takes less than a third; ' ': nothing. */
static char cell(const struct drawing *d, unsigned column, uint64_t low, uint64_t high)
{
	double best = 0, area;
	unsigned from, to;
	char sign = ' ';

	column_steps(d, column, &from, &to);
	area = (double)(high - low) * (to - from);
	for (unsigned i = 0; i < d->map->n; i++) {
		const struct weir_net_block *b = &d->map->blocks[i];
		uint64_t bottom = b->at > low ? b->at : low, top = b->at + b->bytes < high ? b->at + b->bytes : high;
		unsigned first = b->first > from ? b->first : from, end = b->last + 1 < to ? b->last + 1 : to;
		double share;

		if (bottom >= top || first >= end)
			continue;
		share = (double)(top - bottom) * (end - first) / area;
		if (share < best)
			continue;
		best = share;
		sign = share < 1.0 / 3 ? '.' : d->symbols[i];
	}
	return sign;
}

static void draw_axis(const struct drawing *d)
{
	char steps[48];
	unsigned peak = d->each ? d->map->peak * d->each : (unsigned)((uint64_t)d->map->peak * d->columns / d->map->steps);
	int width;

	printf("%*s %s", DRAW_LABEL, "0", d->utf8 ? "└" : "+");
	for (unsigned c = 0; c < d->columns; c++)
		fputs(c == peak ? "^" : d->utf8 ? "─" : "-", stdout);
	width = snprintf(steps, sizeof(steps), "%u steps", d->map->steps);
	printf("\n%*s", DRAW_LABEL + 2, "");
	printf("%*s\n", (int)d->columns > width ? (int)d->columns : width, steps);
}

static void draw_grid(const struct drawing *d)
{
	for (unsigned r = DRAW_ROWS; r--;) {
		uint64_t low = d->map->bytes * r / DRAW_ROWS, high = d->map->bytes * (r + 1) / DRAW_ROWS;
		char label[32] = "";

		if (r + 1 == DRAW_ROWS || r + 1 == DRAW_ROWS / 2 || (r + 1) % (DRAW_ROWS / 4) == 0)
			format_bytes(high, label, sizeof(label));
		printf("%*s %s", DRAW_LABEL, label, d->utf8 ? "│" : "|");
		for (unsigned c = 0; c < d->columns; c++) {
			char sign = high > low ? cell(d, c, low, high) : ' ';

			fputs(sign == '.' && d->utf8 ? "·" : (char[]){sign, 0}, stdout);
		}
		putchar('\n');
	}
	draw_axis(d);
}

/* As many bytes of a name as columns are left, cut between characters. */
static size_t name_fit(const char *name, int columns)
{
	size_t len = strlen(name), most = columns > 0 ? (size_t)columns : 0;

	if (len <= most)
		return len;
	while (most && (name[most] & 0xc0) == 0x80)
		most--;
	return most;
}

static void draw_legend(const struct drawing *d)
{
	const struct memory_map *m = d->map;
	char a[32], b[32];

	printf("  ^ step %u takes the most: %llu bytes\n", m->peak, (unsigned long long)m->taken);
	for (unsigned i = 0; i < m->n && i < DRAW_LEGEND; i++) {
		const struct weir_net_block *x = &m->blocks[d->largest[i]];
		char kept[48] = "";
		int used;

		if (x->ring < x->rows)
			snprintf(kept, sizeof(kept), ", %u of %u rows", x->ring, x->rows);
		used = printf("  %c %11s at %-11s steps %u-%u  %s%s  ", d->symbols[d->largest[i]],
			format_bytes(x->bytes, a, sizeof(a)), format_bytes(x->at, b, sizeof(b)), x->first, x->last, x->op, kept);
		out_escaped(x->name, name_fit(x->name, (int)d->width - used));
		putchar('\n');
	}
	if (m->n > DRAW_LEGEND)
		printf("  small letters: %u other tensors; dots: little of a cell is taken\n", m->n - DRAW_LEGEND);
}

static int size_compare(const void *a, const void *b, void *blocks)
{
	const struct weir_net_block *x = (struct weir_net_block *)blocks + *(const unsigned *)a;
	const struct weir_net_block *y = (struct weir_net_block *)blocks + *(const unsigned *)b;

	if (x->bytes != y->bytes)
		return x->bytes > y->bytes ? -1 : 1;
	return x < y ? -1 : x > y;
}

/* Letters: large ones for the largest tensors in the order of their steps, small ones by turns for the others. */
static void symbols_give(struct drawing *d)
{
	const struct memory_map *m = d->map;
	char large = 'A', small = 'a';

	for (unsigned i = 0; i < m->n; i++)
		d->largest[i] = i;
	qsort_r(d->largest, m->n, sizeof(*d->largest), size_compare, m->blocks);
	for (unsigned i = 0; i < m->n && i < DRAW_LEGEND; i++)
		d->symbols[d->largest[i]] = large++;
	for (unsigned i = 0; i < m->n; i++) {
		if (d->symbols[i])
			continue;
		d->symbols[i] = small;
		small = small == 'z' ? 'a' : (char)(small + 1);
	}
}

void memory_draw(const weir_net *net)
{
	unsigned width;
	struct memory_map map;
	struct drawing d = {.map = &map, .width = terminal_width(), .utf8 = terminal_utf8()};

	if (memory_map_make(&map, net))
		goto out;
	width = d.width - DRAW_LABEL - 2;
	d.each = width / map.steps < DRAW_STEP ? width / map.steps : DRAW_STEP;
	d.columns = d.each ? d.each * map.steps : width;
	d.symbols = calloc(map.n + 1u, 1);
	d.largest = calloc(map.n + 1u, sizeof(*d.largest));
	if (!d.symbols || !d.largest) {
		fail("out of memory for a memory map");
		goto out;
	}
	symbols_give(&d);
	draw_grid(&d);
	draw_legend(&d);
out:
	free(d.symbols);
	free(d.largest);
	memory_map_free(&map);
}
