/* SPDX-License-Identifier: MIT */
/* From an order of steps to addresses: lives, what may overlap and how far, and no overlay that saves nothing. */
#include "graph/planner.h"
#include "vision/layout_parts.h"

#define PLACE_DROPS 24 /* placements to find overlays that save nothing: some 20 ms each */

/* Rules for the planner; those of overlays come with the node that they are for. */
struct rules {
	struct weir_overlap *list;
	int *node; /* -1: no overlay */
	size_t n, max;
	struct weir_block *blocks;
	size_t n_blocks;
	int *block;  /* by tensor, -1: none */
	int *tensor; /* by block */
	int drops;   /* how often rules may still be left out to see */
};

static int steps_grow(struct layout_plan *plan)
{
	size_t max = WEIR_MAX(2 * plan->max_steps, 64);
	struct weir_layout_step *steps = realloc(plan->steps, max * sizeof(*steps));

	if (!steps)
		return weir_fail(ENOMEM, "no memory for %zu steps", max);
	plan->steps = steps;
	plan->max_steps = max;
	return 0;
}

static void step_touch(const struct layout *l, struct layout_plan *plan, int tensor, int step)
{
	int root = l->root[tensor];

	if (!l->storage[root].arena)
		return;
	if (plan->first[root] < 0)
		plan->first[root] = step;
	plan->last[root] = step;
}

int layout_plan_step(const struct layout *l, struct layout_plan *plan, int node, int first, int rows)
{
	const struct weir_layout_node *n = &l->nodes[node];
	int step = (int)plan->n_steps;

	if (plan->n_steps >= INT32_MAX / 2)
		return weir_fail(EOVERFLOW, "too many steps");
	if (plan->n_steps == plan->max_steps && steps_grow(plan))
		return -ENOMEM;
	plan->steps[plan->n_steps++] = (struct weir_layout_step){node, first, rows};
	step_touch(l, plan, n->in, step);
	if (n->in2 >= 0)
		step_touch(l, plan, n->in2, step);
	step_touch(l, plan, n->out, step);
	return 0;
}

/* Steps of all parts, and the lives of tensors in them. */
static int plan_steps(const struct layout *l, struct layout_plan *plan)
{
	int err = 0;

	for (size_t i = 0; i < plan->n_parts && !err; i++) {
		const struct weir_layout_chain *part = &plan->parts[i];

		err = part->strip ? layout_stream_plan(l, part, plan)
				  : layout_plan_step(l, plan, part->first, 0, l->nodes[part->first].rows);
	}
	for (size_t i = 0; i < l->n_tensors; i++) {
		const struct layout_storage *s = &l->storage[i];

		if (l->root[i] != (int)i || !s->arena)
			continue;
		if (s->first < 0 || plan->first[i] < 0)
			plan->first[i] = 0;
		if (s->last == l->n_nodes)
			plan->last[i] = (int)plan->n_steps - 1;
		plan->last[i] = WEIR_MAX(plan->last[i], 0);
	}
	return err;
}

static bool window_is(const struct layout_window *w)
{
	return w->to >= w->from && w->bytes;
}

static size_t block_bytes(const struct layout *l, const struct layout_plan *plan, int tensor)
{
	const struct weir_layout_tensor *t = &l->tensors[tensor];

	return plan->ring[tensor] < t->rows ? t->row_bytes * (size_t)plan->ring[tensor] : t->bytes;
}

/* Bytes from the tensor's beginning that are needed no more, and that are written, in a step that it is alive in. */
static int64_t bytes_dead(const struct layout_plan *plan, int tensor, int step)
{
	const struct layout_window *w = &plan->shrinks[tensor];

	if (!window_is(w) || step < w->from)
		return 0;
	return (int64_t)w->bytes[WEIR_MIN(step, w->to) - w->from];
}

static int64_t bytes_written(const struct layout *l, const struct layout_plan *plan, int tensor, int step)
{
	const struct layout_window *w = &plan->grows[tensor];

	if (!window_is(w) || step > w->to)
		return (int64_t)block_bytes(l, plan, tensor);
	return (int64_t)w->bytes[WEIR_MAX(step, w->from) - w->from];
}

/* How far above `below` the other one must stand so that no byte is both's in any step. Both numbers grow with time. */
static int64_t plan_gap(const struct layout *l, const struct layout_plan *plan, int below, int above)
{
	int from = WEIR_MAX(plan->first[below], plan->first[above]);
	int to = WEIR_MIN(plan->last[below], plan->last[above]);
	const struct layout_window *w = &plan->grows[below];
	int64_t gap = INT64_MIN;

	for (int t = from; t <= to; t++) {
		gap = WEIR_MAX(gap, bytes_written(l, plan, below, t) - bytes_dead(plan, above, t));
		if (!window_is(w) || t > w->to)
			break; /* all is written: later, more is dead */
		if (!window_is(&plan->shrinks[above]))
			t = WEIR_MAX(t, WEIR_MIN(to, w->to + 1) - 1);
	}
	return gap;
}

static int rule_add(struct rules *r, int node, struct weir_overlap rule)
{
	if (r->n == r->max) {
		size_t max = WEIR_MAX(2 * r->max, 64);
		struct weir_overlap *list = realloc(r->list, max * sizeof(*list));
		int *nodes = list ? realloc(r->node, max * sizeof(*nodes)) : NULL;

		r->list = list ? list : r->list;
		if (!nodes)
			return weir_fail(ENOMEM, "no memory for %zu rules of overlap", max);
		r->node = nodes;
		r->max = max;
	}
	r->node[r->n] = node;
	r->list[r->n++] = rule;
	return 0;
}

/* In place and overlays: of nodes that run whole. */
static int rules_of_node(const struct layout *l, const struct layout_plan *plan, struct rules *r, int node)
{
	const struct weir_layout_node *n = &l->nodes[node];
	size_t out = (size_t)r->block[l->root[n->out]];
	const int inputs[2] = {n->same ? n->in : -1, n->same2 ? n->in2 : -1};
	int64_t gap = layout_overlay_gap(l, node);
	int err = 0;

	for (int i = 0; i < 2 && l->settings->in_place; i++) {
		if (err || inputs[i] < 0 || !layout_may_stand(l, node, inputs[i]) ||
			l->tensors[inputs[i]].bytes != l->tensors[n->out].bytes)
			continue;
		err = rule_add(r, -1, (struct weir_overlap){
			.below = out, .above = (size_t)r->block[l->root[inputs[i]]], .same = true});
	}
	if (gap == INT64_MAX || gap >= (int64_t)block_bytes(l, plan, l->root[n->out]) || err)
		return err;
	return rule_add(r, node, (struct weir_overlap){.below = out, .above = (size_t)r->block[l->root[n->in]],
		.gap = WEIR_MAX(gap, 0), .step = n->overlay});
}

/* Tensors of which a chain leaves or makes a part at a time. */
static int rules_of_windows(const struct layout *l, const struct layout_plan *plan, struct rules *r)
{
	int err = 0;

	for (size_t i = 0; i < r->n_blocks; i++) {
		int a = r->tensor[i];
		bool grows = window_is(&plan->grows[a]), shrinks = window_is(&plan->shrinks[a]);

		for (size_t j = 0; (grows || shrinks) && j < r->n_blocks && !err; j++) {
			int b = r->tensor[j];

			if (i == j || r->blocks[i].first > r->blocks[j].last || r->blocks[j].first > r->blocks[i].last)
				continue;
			if (grows)
				err = rule_add(r, -1, (struct weir_overlap){
					.below = i, .above = j, .gap = plan_gap(l, plan, a, b)});
			if (shrinks && !err && !window_is(&plan->grows[b]))
				err = rule_add(r, -1, (struct weir_overlap){
					.below = j, .above = i, .gap = plan_gap(l, plan, b, a)});
		}
	}
	return err;
}

static int rules_make(const struct layout *l, const struct layout_plan *plan, struct rules *r)
{
	int err = 0;

	r->blocks = calloc(l->n_tensors + 1, sizeof(*r->blocks));
	r->block = calloc(l->n_tensors + 1, 2 * sizeof(*r->block));
	if (!r->blocks || !r->block)
		return weir_fail(ENOMEM, "no memory to plan %zu tensors", l->n_tensors);
	r->tensor = r->block + l->n_tensors;
	for (size_t i = 0; i < l->n_tensors; i++) {
		r->block[i] = -1;
		if (l->root[i] != (int)i || !l->storage[i].arena)
			continue;
		r->block[i] = (int)r->n_blocks;
		r->tensor[r->n_blocks] = (int)i;
		r->blocks[r->n_blocks++] = (struct weir_block){
			.size = block_bytes(l, plan, (int)i), .first = plan->first[i], .last = plan->last[i]};
	}
	for (size_t i = 0; i < plan->n_parts && !err; i++) {
		if (!plan->parts[i].strip)
			err = rules_of_node(l, plan, r, plan->parts[i].first);
	}
	return err ? err : rules_of_windows(l, plan, r);
}

static void rules_free(struct rules *r)
{
	free(r->list);
	free(r->node);
	free(r->blocks);
	free(r->block);
}

/* Places by the rules, and takes the result if it is no larger than most. */
static int rules_place(const struct layout *l, struct layout_plan *plan, struct rules *r, size_t goal, size_t most)
{
	int err;
	size_t arena = weir_planner_place(r->blocks, r->n_blocks, r->list, r->n, l->settings->align, goal, &err);

	if (err)
		return err;
	if (arena > most)
		return 0;
	plan->arena = arena;
	for (size_t i = 0; i < r->n_blocks; i++)
		plan->at[r->tensor[i]] = r->blocks[i].offset;
	return 1;
}

/* Whether out lies in what in takes, other than exactly where a node that may do so puts it. */
static bool overlays(const struct layout *l, const struct layout_plan *plan, int node)
{
	const struct weir_layout_node *n = &l->nodes[node];
	int in = l->root[n->in], out = l->root[n->out];
	bool same = l->settings->in_place && n->same && l->tensors[in].bytes == l->tensors[out].bytes;

	if (plan->at[in] + l->tensors[in].bytes <= plan->at[out] || plan->at[out] + l->tensors[out].bytes <= plan->at[in])
		return false;
	return !same || plan->at[in] != plan->at[out];
}

/* Of the overlays in the list, [from, to) of `drop` are given up if the arena stays within most; else fewer of them. */
static int rules_drop(const struct layout *l, struct layout_plan *plan, struct rules *r, const int *drop, size_t from,
	size_t to, size_t most)
{
	struct rules less = *r;
	int taken;

	if (from == to || r->drops-- <= 0)
		return 0;
	less.list = calloc(r->n + 1, sizeof(*less.list));
	less.n = 0;
	if (!less.list)
		return weir_fail(ENOMEM, "no memory for %zu rules of overlap", r->n);
	for (size_t i = 0; i < r->n; i++) {
		bool dropped = false;

		for (size_t j = from; j < to; j++)
			dropped |= r->node[i] >= 0 && r->node[i] == drop[j];
		if (!dropped)
			less.list[less.n++] = r->list[i];
	}
	taken = rules_place(l, plan, &less, most, most);
	if (taken == 1) {
		/* They are gone for good. */
		for (size_t i = 0, n = 0; i < r->n; i++) {
			bool dropped = false;

			for (size_t j = from; j < to; j++)
				dropped |= r->node[i] >= 0 && r->node[i] == drop[j];
			if (!dropped)
				r->node[n++] = r->node[i];
		}
		memcpy(r->list, less.list, less.n * sizeof(*less.list));
		r->n = less.n;
	}
	free(less.list);
	if (taken || to - from == 1)
		return WEIR_MIN(taken, 0);
	taken = rules_drop(l, plan, r, drop, from, (from + to) / 2, most);
	return taken ? taken : rules_drop(l, plan, r, drop, (from + to) / 2, to, most);
}

/* Whether the arena must be larger than most when the node's output keeps apart from its input. */
static bool overlay_needed(const struct layout *l, const struct layout_plan *plan, const struct rules *r, int node,
	size_t most)
{
	int step = plan->last[l->root[l->nodes[node].in]];
	size_t alive = 0;

	for (size_t i = 0; i < r->n_blocks; i++) {
		if (r->blocks[i].first <= step && step <= r->blocks[i].last)
			alive += weir_align_up(r->blocks[i].size, l->settings->align);
	}
	return alive > most;
}

/* Rows made in order keep fewer units of a device busy: no overlay that the arena's size does not need. */
static int overlays_drop(const struct layout *l, struct layout_plan *plan, struct rules *r, size_t most)
{
	int *drop = calloc(r->n + 1, sizeof(*drop));
	size_t n = 0;
	int err;

	if (!drop)
		return weir_fail(ENOMEM, "no memory for %zu rules of overlap", r->n);
	for (size_t i = 0; i < r->n; i++) {
		if (r->node[i] >= 0 && !overlay_needed(l, plan, r, r->node[i], most))
			drop[n++] = r->node[i];
	}
	r->drops = PLACE_DROPS;
	err = rules_drop(l, plan, r, drop, 0, n, most);
	for (size_t i = 0; i < r->n && !err; i++) {
		if (r->node[i] >= 0)
			plan->columns[r->node[i]] = overlays(l, plan, r->node[i]);
	}
	free(drop);
	return err;
}

static int plan_alloc(const struct layout *l, struct layout_plan *p)
{
	size_t n = l->n_tensors + 1;

	p->first = calloc(n, sizeof(*p->first));
	p->last = calloc(n, sizeof(*p->last));
	p->ring = calloc(n, sizeof(*p->ring));
	p->at = calloc(n, sizeof(*p->at));
	p->grows = calloc(n, sizeof(*p->grows));
	p->shrinks = calloc(n, sizeof(*p->shrinks));
	p->columns = calloc((size_t)l->n_nodes + 1, sizeof(*p->columns));
	if (!p->first || !p->last || !p->ring || !p->at || !p->grows || !p->shrinks || !p->columns)
		return weir_fail(ENOMEM, "no memory to plan %zu tensors", l->n_tensors);
	for (size_t i = 0; i < l->n_tensors; i++) {
		p->first[i] = p->last[i] = -1;
		p->ring[i] = l->tensors[i].rows;
		p->grows[i].to = p->shrinks[i].to = -1;
	}
	return 0;
}

int layout_plan_make(const struct layout *l, struct layout_plan *plan, struct weir_layout_chain *parts,
	size_t n_parts, size_t goal)
{
	struct rules r = {0};
	int err;

	memset(plan, 0, sizeof(*plan));
	plan->parts = parts;
	plan->n_parts = n_parts;
	err = plan_alloc(l, plan);
	if (!err)
		err = plan_steps(l, plan);
	if (!err)
		err = rules_make(l, plan, &r);
	if (!err)
		err = WEIR_MIN(rules_place(l, plan, &r, goal, SIZE_MAX), 0);
	rules_free(&r);
	return err;
}

int layout_plan_finish(const struct layout *l, struct layout_plan *plan, size_t most)
{
	struct rules r = {0};
	int err = rules_make(l, plan, &r);

	if (!err)
		err = overlays_drop(l, plan, &r, WEIR_MAX(most, plan->arena));
	rules_free(&r);
	return err;
}

void layout_plan_free(const struct layout *l, struct layout_plan *p)
{
	for (size_t i = 0; i < l->n_tensors; i++) {
		if (p->grows)
			free(p->grows[i].bytes);
		if (p->shrinks)
			free(p->shrinks[i].bytes);
	}
	free(p->parts);
	free(p->steps);
	free(p->first);
	free(p->last);
	free(p->ring);
	free(p->at);
	free(p->grows);
	free(p->shrinks);
	free(p->columns);
	memset(p, 0, sizeof(*p));
}
