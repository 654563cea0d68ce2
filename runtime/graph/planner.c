/* SPDX-License-Identifier: MIT */
/* First fit by lifetime, in several orders, the best kept (as TinyEngine's and TFLite's planners, but trying more than one). */
#include "base/base.h"
#include "graph/planner.h"

typedef int (*order_fn)(const void *a, const void *b);

static int order_size(const void *a, const void *b)
{
	const struct weir_block *x = *(struct weir_block *const *)a, *y = *(struct weir_block *const *)b;

	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	return x->first - y->first;
}

static int order_area(const void *a, const void *b)
{
	const struct weir_block *x = *(struct weir_block *const *)a, *y = *(struct weir_block *const *)b;
	double u = (double)x->size * (x->last - x->first + 1);
	double v = (double)y->size * (y->last - y->first + 1);

	if (u != v)
		return u < v ? 1 : -1;
	return x->first - y->first;
}

static int order_life(const void *a, const void *b)
{
	const struct weir_block *x = *(struct weir_block *const *)a, *y = *(struct weir_block *const *)b;
	int u = x->last - x->first, v = y->last - y->first;

	if (u != v)
		return v - u;
	return order_size(a, b);
}

static int order_time(const void *a, const void *b)
{
	const struct weir_block *x = *(struct weir_block *const *)a, *y = *(struct weir_block *const *)b;

	if (x->first != y->first)
		return x->first - y->first;
	return order_size(a, b);
}

static bool together(const struct weir_block *a, const struct weir_block *b)
{
	return a->first <= b->last && b->first <= a->last;
}

/* The lowest offset at which b meets none of the placed blocks that live with it; placed is sorted by offset. */
static size_t first_fit(const struct weir_block *b, struct weir_block *const *placed, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		const struct weir_block *p = placed[i];

		if (!together(b, p))
			continue;
		if (p->offset >= at && p->offset - at >= b->size)
			return at;
		at = WEIR_MAX(at, p->offset + p->size);
	}
	return at;
}

/* Places the blocks in the order they stand; returns the end of the highest. */
static size_t place(struct weir_block *const *order, struct weir_block **placed, size_t n)
{
	size_t end = 0;

	for (size_t i = 0; i < n; i++) {
		struct weir_block *b = order[i];
		size_t j = i;

		b->offset = first_fit(b, placed, i);
		for (; j && placed[j - 1]->offset > b->offset; j--)
			placed[j] = placed[j - 1];
		placed[j] = b;
		end = WEIR_MAX(end, b->offset + b->size);
	}
	return end;
}

size_t weir_planner_place(struct weir_block *blocks, size_t n, size_t align, int *err)
{
	static const order_fn orders[] = {order_size, order_area, order_life, order_time};
	struct weir_block **order = calloc(n + 1, 2 * sizeof(*order));
	size_t *best = calloc(n + 1, sizeof(*best));
	size_t size = SIZE_MAX, total = 0;

	*err = 0;
	if (!order || !best) {
		*err = weir_fail(ENOMEM, "no memory to plan %zu tensors", n);
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		/* With the sum of all sizes in range, no offset below can overflow. */
		if (blocks[i].size > SIZE_MAX - align ||
			!weir_size_add(total, weir_align_up(blocks[i].size, align), &total)) {
			*err = weir_fail(EOVERFLOW, "the tensors need more memory than addresses reach");
			goto out;
		}
		blocks[i].size = weir_align_up(blocks[i].size, align);
	}
	for (size_t o = 0; o < WEIR_ARRAY_SIZE(orders); o++) {
		size_t end;

		for (size_t i = 0; i < n; i++)
			order[i] = &blocks[i];
		qsort(order, n, sizeof(*order), orders[o]);
		end = place(order, order + n + 1, n);
		if (end >= size)
			continue;
		size = end;
		for (size_t i = 0; i < n; i++)
			best[i] = blocks[i].offset;
	}
	for (size_t i = 0; i < n; i++)
		blocks[i].offset = best[i];
out:
	free(order);
	free(best);
	return *err ? 0 : size;
}
