/* SPDX-License-Identifier: MIT */
/* The layout's frame: who uses which bytes and when, whole layers first, streaming where those do not fit. */
#include "vision/layout_parts.h"

static void storage_use(struct layout *l, int tensor, int node, bool writes)
{
	struct layout_storage *s = layout_storage(l, tensor);

	if (!s->arena) {
		s->arena = true;
		s->first = s->last = node;
	}
	s->first = WEIR_MIN(s->first, node);
	s->last = WEIR_MAX(s->last, node);
	if (writes) {
		s->writers++;
		s->writer = node;
	}
}

static int roots_follow(struct layout *l)
{
	for (size_t i = 0; i < l->n_tensors; i++) {
		size_t at = i, hops = 0;

		while (l->tensors[at].storage != (int)at) {
			if (l->tensors[at].storage < 0 || (size_t)l->tensors[at].storage >= l->n_tensors ||
				hops++ > l->n_tensors)
				return weir_fail(EINVAL, "tensor %zu has no memory of its own, and no other's", i);
			at = (size_t)l->tensors[at].storage;
		}
		l->root[i] = (int)at;
		if (l->tensors[i].bytes > l->tensors[at].bytes)
			return weir_fail(EINVAL, "tensor %zu is larger than tensor %zu, whose memory it is in", i, at);
	}
	return 0;
}

/* Lives, in nodes, of all storages. */
static int storages_make(struct layout *l)
{
	int err = roots_follow(l);

	for (size_t i = 0; i < l->n_tensors; i++)
		l->storage[i].writer = -1;
	for (int i = 0; i < l->n_nodes && !err; i++) {
		const struct weir_layout_node *n = &l->nodes[i];

		storage_use(l, n->in, i, false);
		if (n->in2 >= 0)
			storage_use(l, n->in2, i, false);
		storage_use(l, n->out, i, true);
	}
	for (size_t i = 0; i < l->n_tensors && !err; i++) {
		if (l->tensors[i].before)
			storage_use(l, (int)i, -1, false);
		if (l->tensors[i].after)
			storage_use(l, (int)i, l->n_nodes, false);
	}
	for (size_t i = 0; i < l->n_tensors && !err; i++) {
		const struct weir_layout_tensor *t = &l->tensors[i];
		struct layout_storage *s = &l->storage[i];

		s->arena &= !t->fixed;
		s->rows = t->rows > 0 && t->row_bytes && t->bytes / t->row_bytes == (size_t)t->rows &&
			t->bytes % t->row_bytes == 0 && s->writers <= 1;
	}
	/* Rows of a reshape are others. */
	for (size_t i = 0; i < l->n_tensors && !err; i++) {
		if (l->root[i] != (int)i)
			layout_storage(l, (int)i)->rows = false;
	}
	return err;
}

bool layout_may_stand(const struct layout *l, int node, int in)
{
	const struct layout_storage *from = layout_storage(l, in), *to = layout_storage(l, l->nodes[node].out);

	return from != to && from->arena && to->arena && from->last == node && to->first == node &&
		to->writers == 1;
}

int64_t layout_overlay_gap(const struct layout *l, int node)
{
	const struct weir_layout_node *n = &l->nodes[node];
	const struct weir_layout_tensor *in = &l->tensors[n->in], *out = &l->tensors[n->out];
	int64_t gap = INT64_MIN, turn, rows[3];

	if (!l->settings->overlay || !n->overlay || n->span <= 0 || n->rows <= 0 || !layout_storage(l, n->in)->rows ||
		!layout_storage(l, n->out)->rows || !layout_may_stand(l, node, n->in) ||
		(n->in2 >= 0 && l->root[n->in2] == l->root[n->in]))
		return INT64_MAX;
	/* Until the padding is passed no row is given up, then stride rows a row: so the most is at an end, or there. */
	turn = WEIR_MAX(n->pad, 0) / n->stride;
	rows[0] = WEIR_MIN(turn, n->rows - 1);
	rows[1] = WEIR_MIN(turn + 1, n->rows - 1);
	rows[2] = n->rows - 1;
	for (int i = 0; i < 3; i++) {
		int64_t needed = WEIR_MAX(WEIR_MIN(rows[i] * n->stride - n->pad, in->rows), 0);

		gap = WEIR_MAX(gap, (rows[i] + 1) * (int64_t)out->row_bytes - needed * (int64_t)in->row_bytes);
	}
	return gap;
}

static int settings_check(const struct layout *l, size_t n_nodes)
{
	const struct weir_layout_settings *s = l->settings;

	if (!s->align || s->align & (s->align - 1))
		return weir_fail(EINVAL, "tensors cannot be aligned to %zu bytes, which is no power of two", s->align);
	if (n_nodes > INT32_MAX / 2 || l->n_tensors > INT32_MAX / 2)
		return weir_fail(EOVERFLOW, "%zu layers and %zu tensors are too many", n_nodes, l->n_tensors);
	for (size_t i = 0; i < l->n_tensors; i++) {
		const struct weir_layout_tensor *t = &l->tensors[i];

		/* Products of rows and bytes stay in range below. */
		if (t->rows < 0 || t->row_bytes > INT32_MAX || t->bytes > INT64_MAX / 16)
			return weir_fail(EOVERFLOW, "tensor %zu is too large", i);
	}
	for (size_t i = 0; i < n_nodes; i++) {
		const struct weir_layout_node *n = &l->nodes[i];

		if (n->in < 0 || n->out < 0 || (size_t)n->in >= l->n_tensors || (size_t)n->out >= l->n_tensors ||
			n->in2 < -1 || n->in2 >= (int)l->n_tensors)
			return weir_fail(EINVAL, "layer %zu uses a tensor that is not there", i);
		if (n->rows <= 0 || n->span < 0 || (n->span && n->stride <= 0))
			return weir_fail(EINVAL, "layer %zu has impossible rows", i);
	}
	return 0;
}

static struct weir_layout_chain *parts_whole(int n_nodes)
{
	struct weir_layout_chain *parts = calloc((size_t)n_nodes + 1, sizeof(*parts));

	for (int i = 0; parts && i < n_nodes; i++)
		parts[i] = (struct weir_layout_chain){.first = i, .last = i};
	return parts;
}

/* Whole layers; streamed where those are too large and streaming is allowed. */
static int plan_find(const struct layout *l, struct layout_plan *plan)
{
	const struct weir_layout_settings *s = l->settings;
	size_t goal = s->budget == WEIR_LAYOUT_LEAST ? 0 : s->budget;
	struct weir_layout_chain *parts;
	int err;

	if (s->stream && s->budget == WEIR_LAYOUT_LEAST)
		return layout_search(l, plan);
	parts = parts_whole(l->n_nodes);
	if (!parts)
		return weir_fail(ENOMEM, "no memory to plan %d layers", l->n_nodes);
	err = layout_plan_make(l, plan, parts, (size_t)l->n_nodes, goal);
	if (err || !goal || plan->arena <= goal)
		return err;
	if (!s->stream)
		return weir_fail(ENOSPC, "needs at least %zu bytes of activations, the budget is %zu", plan->arena, goal);
	layout_plan_free(l, plan);
	return layout_search(l, plan);
}

/* What the caller gets of a plan. */
static int plan_give(struct layout *l, struct layout_plan *p, struct weir_layout *out)
{
	size_t n_chains = 0;

	for (size_t i = 0; i < p->n_parts; i++) {
		if (p->parts[i].strip)
			p->parts[n_chains++] = p->parts[i];
	}
	for (size_t i = 0; i < l->n_tensors; i++) {
		struct weir_layout_tensor *t = &l->tensors[i];
		bool placed = l->root[i] == (int)i && l->storage[i].arena;

		t->ring = placed ? p->ring[i] : t->rows;
		t->at = placed ? p->at[i] : 0;
		if (placed)
			out->unshared += weir_align_up(t->bytes, l->settings->align);
	}
	for (int i = 0; i < l->n_nodes; i++)
		l->nodes[i].columns = p->columns[i];
	out->arena = p->arena;
	out->steps = p->steps;
	out->n_steps = p->n_steps;
	out->chains = p->parts;
	out->n_chains = n_chains;
	out->first = p->first;
	out->last = p->last;
	p->steps = NULL;
	p->parts = NULL;
	p->first = p->last = NULL;
	return 0;
}

int weir_layout_make(struct weir_layout_tensor *tensors, size_t n_tensors, struct weir_layout_node *nodes,
	size_t n_nodes, const struct weir_layout_settings *settings, struct weir_layout *out)
{
	struct layout l = {.tensors = tensors, .n_tensors = n_tensors, .nodes = nodes, .settings = settings};
	struct layout_plan plan = {0};
	int err = settings_check(&l, n_nodes);

	memset(out, 0, sizeof(*out));
	if (err)
		return err;
	l.n_nodes = (int)n_nodes;
	l.storage = calloc(n_tensors + 1, sizeof(*l.storage));
	l.root = calloc(n_tensors + 1, sizeof(*l.root));
	if (!l.storage || !l.root)
		err = weir_fail(ENOMEM, "no memory to plan %zu layers", n_nodes);
	if (!err)
		err = storages_make(&l);
	if (!err)
		err = plan_find(&l, &plan);
	if (!err)
		err = layout_plan_finish(&l, &plan, settings->budget == WEIR_LAYOUT_LEAST ? 0 : settings->budget);
	if (!err)
		err = plan_give(&l, &plan, out);
	layout_plan_free(&l, &plan);
	free(l.storage);
	free(l.root);
	return err;
}

void weir_layout_free(struct weir_layout *layout)
{
	free(layout->steps);
	free(layout->chains);
	free(layout->first);
	free(layout->last);
	memset(layout, 0, sizeof(*layout));
}
