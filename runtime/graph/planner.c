/* SPDX-License-Identifier: MIT */
/* First fit by lifetime, in several orders, the best kept and varied (TinyEngine and TFLite place in one order). */
#include "graph/planner.h"

#include "base/base.h"

/* Offsets, and sums of two of them and a size, stay far from the ends of int64_t. */
#define PLANNER_LIMIT (INT64_MAX / 8)
/* Pairs of blocks that the varying of orders may look at: about 15 ms at 2.5 GHz. */
#define PLANNER_WORK 4000000
#define PLANNER_TRIES 1500

/* A rule as one of its blocks sees it. */
struct pair {
	size_t other;
	bool above;	       /* other is the one above */
	bool exact;	       /* the distance is gap */
	int64_t gap, step;     /* otherwise it is gap or more, a multiple of step */
};

struct planner {
	struct weir_block *blocks;
	size_t n;
	int64_t align;
	struct pair *pairs; /* those of block b are [first_pair[b], first_pair[b + 1]) */
	size_t *first_pair;
	size_t n_pairs;
	size_t *rule; /* by block: its first pair with the block that is being placed, plus 1 */
	size_t work;  /* pairs looked at so far */
	size_t *order, *placed; /* blocks as they are placed, and by offset */
	size_t *best_order, *best; /* best: offsets */
	bool mirrored, best_mirrored; /* offsets count from the arena's end down */
	size_t size;			/* of the best */
};

typedef int (*order_fn)(const struct weir_block *x, const struct weir_block *y);

static int order_size(const struct weir_block *x, const struct weir_block *y)
{
	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	return x->first - y->first;
}

static int order_area(const struct weir_block *x, const struct weir_block *y)
{
	double u = (double)x->size * (x->last - x->first + 1);
	double v = (double)y->size * (y->last - y->first + 1);

	if (u != v)
		return u < v ? 1 : -1;
	return x->first - y->first;
}

static int order_life(const struct weir_block *x, const struct weir_block *y)
{
	int u = x->last - x->first, v = y->last - y->first;

	if (u != v)
		return v - u;
	return order_size(x, y);
}

static int order_time(const struct weir_block *x, const struct weir_block *y)
{
	if (x->first != y->first)
		return x->first - y->first;
	return order_size(x, y);
}

/* From the last to the first: what may lie under its predecessor is there before it. */
static int order_back(const struct weir_block *x, const struct weir_block *y)
{
	if (x->last != y->last)
		return y->last - x->last;
	return y->first != x->first ? y->first - x->first : order_size(x, y);
}

struct sort_context {
	const struct weir_block *blocks;
	order_fn fn;
};

static int order_compare(const void *a, const void *b, void *context)
{
	const struct sort_context *c = context;
	size_t i = *(const size_t *)a, j = *(const size_t *)b;
	int d = c->fn(&c->blocks[i], &c->blocks[j]);

	/* Never equal: so the order does not depend on the C library's sort. */
	return d ? d : i < j ? -1 : i > j;
}

static bool together(const struct weir_block *a, const struct weir_block *b)
{
	return a->first <= b->last && b->first <= a->last;
}

/* The lowest x' >= x that is base modulo step. */
static int64_t lattice_up(int64_t x, int64_t base, int64_t step)
{
	int64_t r = (base - x) % step;

	return x + (r < 0 ? r + step : r);
}

/* The lowest place >= x for a block that the rule allows beside the other one at q; INT64_MAX: none. */
static int64_t pair_lowest(const struct planner *p, size_t b, const struct pair *r, int64_t x, int64_t q)
{
	int64_t gap = r->gap, phase = 0, low;
	bool above = r->above;

	if (p->mirrored) {
		int64_t mine = (int64_t)p->blocks[b].size, other = (int64_t)p->blocks[r->other].size;

		phase = above ? other - mine : mine - other;
		gap += phase;
		above = !above;
	}
	if (r->exact) {
		low = above ? q - gap : q + gap;
		return low >= x ? low : INT64_MAX;
	}
	if (!above)
		return lattice_up(WEIR_MAX(x, q + gap), q + phase, r->step);
	low = lattice_up(x, q - phase, r->step);
	return low <= q - gap ? low : INT64_MAX;
}

/* The lowest place >= x for block b where it does not meet block o, which is placed. */
static int64_t lowest_beside(const struct planner *p, size_t b, size_t o, int64_t x, bool rules)
{
	const struct weir_block *block = &p->blocks[b], *other = &p->blocks[o];
	int64_t q = (int64_t)other->offset, low = q + (int64_t)other->size;

	if (x >= low || x + (int64_t)block->size <= q)
		return x;
	for (size_t i = p->rule[o]; rules && i && i <= p->first_pair[b + 1] && p->pairs[i - 1].other == o; i++)
		low = WEIR_MIN(low, pair_lowest(p, b, &p->pairs[i - 1], x, q));
	return low;
}

/* The lowest place for block b that suits all of the n blocks placed, which are sorted by offset. */
static int64_t first_fit(struct planner *p, size_t b, size_t n)
{
	const struct weir_block *block = &p->blocks[b];
	size_t moves = 0;
	int64_t x = 0;
	bool moved;

	/* Backwards, so that the first of several with one block stays. */
	for (size_t i = p->first_pair[b + 1]; i-- > p->first_pair[b];)
		p->rule[p->pairs[i].other] = i + 1;
	do {
		moved = false;
		for (size_t i = 0; i < n; i++) {
			const struct weir_block *other = &p->blocks[p->placed[i]];
			int64_t low;

			if ((int64_t)other->offset >= x + (int64_t)block->size)
				break;
			p->work++;
			if (!together(block, other))
				continue;
			/* Rules whose steps never agree would let x creep: so they end some time. */
			low = lowest_beside(p, b, p->placed[i], x, moves < 4 * n + 64);
			moves += low != x;
			moved |= low != x;
			x = low;
		}
	} while (moved);
	for (size_t i = p->first_pair[b]; i < p->first_pair[b + 1]; i++)
		p->rule[p->pairs[i].other] = 0;
	return x;
}

/* Places the blocks in the order they stand; keeps the result if it is no worse than the best. */
static void place(struct planner *p)
{
	size_t end = 0;

	for (size_t i = 0; i < p->n; i++) {
		struct weir_block *b = &p->blocks[p->order[i]];
		size_t j = i;

		b->offset = (size_t)first_fit(p, p->order[i], i);
		for (; j && p->blocks[p->placed[j - 1]].offset > b->offset; j--)
			p->placed[j] = p->placed[j - 1];
		p->placed[j] = p->order[i];
		end = WEIR_MAX(end, b->offset + b->size);
		if (end > p->size)
			return;
	}
	p->size = end;
	p->best_mirrored = p->mirrored;
	memcpy(p->best_order, p->order, p->n * sizeof(*p->order));
	for (size_t i = 0; i < p->n; i++) {
		const struct weir_block *b = &p->blocks[i];

		p->best[i] = p->mirrored ? end - b->offset - b->size : b->offset;
	}
}

/* No arena is smaller, as long as no rule lets blocks overlap. */
static size_t peak(const struct planner *p)
{
	size_t most = 0;

	for (size_t i = 0; i < p->n; i++) {
		size_t alive = 0;

		/* Some block begins where the most is alive. */
		for (size_t j = 0; j < p->n; j++) {
			if (p->blocks[j].first <= p->blocks[i].first && p->blocks[i].first <= p->blocks[j].last)
				alive += p->blocks[j].size;
		}
		most = WEIR_MAX(most, alive);
	}
	return most;
}

static uint32_t random_below(uint32_t *state, size_t n)
{
	*state = *state * 1664525 + 1013904223;
	return (uint32_t)((*state >> 8) % n);
}

/* Moves the block at from in the order to a place before it, or swaps the two. */
static void order_change(struct planner *p, size_t from, size_t to, bool swap)
{
	size_t b = p->order[from];

	if (swap) {
		p->order[from] = p->order[to];
	} else if (from > to) {
		memmove(p->order + to + 1, p->order + to, (from - to) * sizeof(*p->order));
	} else {
		memmove(p->order + from, p->order + from + 1, (to - from) * sizeof(*p->order));
	}
	p->order[to] = b;
}

/* Where in the best order the block stands that ends highest. */
static size_t highest(const struct planner *p)
{
	for (size_t i = 0; i < p->n; i++) {
		size_t b = p->best_order[i];

		if (p->best_mirrored ? !p->best[b] : p->best[b] + p->blocks[b].size == p->size)
			return i;
	}
	return 0;
}

/* Varies the best order, with a fixed seed. */
static void vary(struct planner *p, size_t goal)
{
	size_t end = p->work + PLANNER_WORK;
	uint32_t state = 1;

	for (size_t t = 0; t < PLANNER_TRIES && p->n > 1 && p->size > goal && p->work < end; t++) {
		size_t from = random_below(&state, p->n);

		memcpy(p->order, p->best_order, p->n * sizeof(*p->order));
		p->mirrored = p->best_mirrored;
		/* What ends highest may fit lower before others are there. */
		if (t % 2) {
			from = highest(p);
			order_change(p, from, random_below(&state, from + 1), false);
		} else {
			order_change(p, from, random_below(&state, p->n), t % 4 < 2);
		}
		place(p);
	}
}

static void try_orders(struct planner *p, size_t goal)
{
	static const order_fn orders[] = {order_size, order_area, order_life, order_time, order_back};

	for (size_t o = 0; o < 2 * WEIR_ARRAY_SIZE(orders) && p->size > goal; o++) {
		struct sort_context context = {p->blocks, orders[o % WEIR_ARRAY_SIZE(orders)]};

		/* Without rules the arena is as large from either end. */
		p->mirrored = o >= WEIR_ARRAY_SIZE(orders);
		if (p->mirrored && !p->n_pairs)
			return;
		for (size_t i = 0; i < p->n; i++)
			p->order[i] = i;
		qsort_r(p->order, p->n, sizeof(*p->order), order_compare, &context);
		place(p);
	}
}

static size_t divisor(size_t a, size_t b)
{
	while (b) {
		size_t r = a % b;

		a = b;
		b = r;
	}
	return a;
}

/* A rule with steps in whole units of align; false: it allows nothing that distance alone does not. */
static bool pair_make(const struct planner *p, const struct weir_overlap *o, struct pair *out)
{
	size_t step = o->step ? o->step : 1;

	if (o->below >= p->n || o->above >= p->n || o->below == o->above ||
		!weir_size_mul(step / divisor(step, (size_t)p->align), (size_t)p->align, &step) || step > PLANNER_LIMIT)
		return false;
	out->exact = o->same;
	out->step = (int64_t)step;
	out->gap = o->same ? 0 : WEIR_MAX(o->gap, -PLANNER_LIMIT);
	return o->same || o->gap < (int64_t)p->blocks[o->below].size;
}

static int pair_compare(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;

	return x->other < y->other ? -1 : x->other > y->other;
}

/* Sorts the rules by block, each for both of its blocks, then by the other one. */
static void pairs_make(struct planner *p, const struct weir_overlap *overlaps, size_t n)
{
	struct pair r;

	for (size_t i = 0; i < n; i++) {
		if (!pair_make(p, &overlaps[i], &r))
			continue;
		p->first_pair[overlaps[i].below + 1]++;
		p->first_pair[overlaps[i].above + 1]++;
	}
	for (size_t b = 0; b < p->n; b++)
		p->first_pair[b + 1] += p->first_pair[b];
	p->n_pairs = p->first_pair[p->n];
	/* Filled from the ends: first_pair[b + 1] comes down to where block b begins. */
	for (size_t i = 0; i < n; i++) {
		if (!pair_make(p, &overlaps[i], &r))
			continue;
		r.other = overlaps[i].above;
		r.above = true;
		p->pairs[--p->first_pair[overlaps[i].below + 1]] = r;
		r.other = overlaps[i].below;
		r.above = false;
		p->pairs[--p->first_pair[overlaps[i].above + 1]] = r;
	}
	memmove(p->first_pair, p->first_pair + 1, p->n * sizeof(*p->first_pair));
	p->first_pair[p->n] = p->n_pairs;
	for (size_t b = 0; b < p->n; b++)
		qsort(p->pairs + p->first_pair[b], p->first_pair[b + 1] - p->first_pair[b], sizeof(*p->pairs), pair_compare);
}

/* Rounds the sizes up to align. With the sum of all in range, no offset overflows. */
static int sizes_align(struct weir_block *blocks, size_t n, size_t align)
{
	size_t total = 0;

	for (size_t i = 0; i < n; i++) {
		if (blocks[i].size > PLANNER_LIMIT - align ||
			!weir_size_add(total, weir_align_up(blocks[i].size, align), &total) || total > PLANNER_LIMIT)
			return weir_fail(EOVERFLOW, "the tensors need more memory than addresses reach");
		blocks[i].size = weir_align_up(blocks[i].size, align);
	}
	return 0;
}

size_t weir_planner_place(struct weir_block *blocks, size_t n, const struct weir_overlap *overlaps,
	size_t n_overlaps, size_t align, size_t goal, int *err)
{
	struct planner p = {.blocks = blocks, .n = n, .align = (int64_t)align, .size = SIZE_MAX};

	p.order = calloc(n + 1, 6 * sizeof(*p.order));
	p.pairs = calloc(n_overlaps + 1, 2 * sizeof(*p.pairs));
	if (!p.order || !p.pairs) {
		*err = weir_fail(ENOMEM, "no memory to plan %zu tensors", n);
		goto out;
	}
	p.placed = p.order + n;
	p.best_order = p.placed + n;
	p.best = p.best_order + n;
	p.rule = p.best + n;
	p.first_pair = p.rule + n;
	*err = sizes_align(blocks, n, align);
	if (*err)
		goto out;
	pairs_make(&p, overlaps, n_overlaps);
	if (!p.n_pairs)
		goal = WEIR_MAX(goal, peak(&p));
	try_orders(&p, goal);
	vary(&p, goal);
	for (size_t i = 0; i < n; i++)
		blocks[i].offset = p.best[i];
out:
	free(p.order);
	free(p.pairs);
	return *err ? 0 : p.size;
}
