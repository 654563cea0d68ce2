/* SPDX-License-Identifier: MIT */
/*
 * Which layers to stream together, by strips how high: the cheapest way to cut the list of layers into chains and whole
 * ones none of which needs more than so much memory, then real placement, then the same with a stricter limit.
 */
#include "vision/layout_parts.h"

/* What a step costs, in multiply-adds: a launch's few microseconds on a core that makes some 10 of them a nanosecond. */
#define STEP_COST 20000
/* Strips of chains to measure, times their lengths: about a quarter of a second. */
#define SEARCH_WORK 16000000
#define SEARCH_STRIPS 2048 /* most strips of a chain */
#define SEARCH_PLACES 12   /* most ways that are placed; of thousands of layers, where each takes seconds, 2 */

static const int strip_heights[] = {1, 2, 3, 4, 6, 8, 11, 16, 22, 32, 44, 64, 96, 128, 192};

/* One way to run nodes [first, last]. */
struct edge {
	struct weir_layout_chain part;
	size_t peak; /* bytes alive while it runs, as near as it can be said without addresses */
	double time;
	size_t steps;
};

struct search {
	const struct layout *l;
	struct edge *edges; /* by first node */
	size_t n_edges, max_edges;
	size_t *from; /* by node: its first edge; n_nodes + 1 */
	int longest;  /* chain to be tried */
	int places;
};

static size_t tensor_bytes(const struct layout *l, int tensor)
{
	return weir_align_up(l->tensors[tensor].bytes, l->settings->align);
}

static int edge_add(struct search *s, const struct edge *e)
{
	if (s->n_edges == s->max_edges) {
		size_t max = WEIR_MAX(2 * s->max_edges, 1024);
		struct edge *edges = realloc(s->edges, max * sizeof(*edges));

		if (!edges)
			return weir_fail(ENOMEM, "no memory for %zu chains", max);
		s->edges = edges;
		s->max_edges = max;
	}
	s->edges[s->n_edges++] = *e;
	return 0;
}

/* What all tensors take that are alive before node `first` and not after `last`, or beyond that. */
struct around {
	size_t across, dying;
};

static struct around around_make(const struct layout *l, int first)
{
	struct around a = {0};

	for (size_t i = 0; i < l->n_tensors; i++) {
		const struct layout_storage *s = &l->storage[i];

		if (l->root[i] == (int)i && s->arena && s->first < first && s->last >= first)
			a.across += tensor_bytes(l, (int)i);
	}
	return a;
}

/* `last` joins: tensors that it uses for the last time die with the chain. */
static void around_extend(struct around *a, const struct layout *l, int first, int last)
{
	const struct weir_layout_node *n = &l->nodes[last];
	const int used[3] = {l->root[n->in], n->in2 < 0 ? -1 : l->root[n->in2], l->root[n->out]};

	for (int i = 0; i < 3; i++) {
		if (used[i] < 0 || (i && used[i] == used[0]) || (i == 2 && used[2] == used[1]))
			continue;
		if (l->storage[used[i]].arena && l->storage[used[i]].first < first && l->storage[used[i]].last == last) {
			a->across -= tensor_bytes(l, used[i]);
			a->dying += tensor_bytes(l, used[i]);
		}
	}
}

/* The output of node `last`, if it is new. */
static size_t output_bytes(const struct layout *l, int first, int last)
{
	const struct layout_storage *s = layout_storage(l, l->nodes[last].out);

	return s->arena && s->first >= first ? tensor_bytes(l, l->root[l->nodes[last].out]) : 0;
}

/* How much of two tensors' bytes is saved when one of `out` begins gap under another of `in`, or more. */
static size_t saved(size_t out, size_t in, int64_t gap, size_t align)
{
	size_t least = WEIR_MAX(out, in + weir_align_up((size_t)WEIR_MAX(gap, 0), align));

	return out + in > least ? out + in - least : 0;
}

static int edge_whole(struct search *s, int node, const struct around *a)
{
	const struct layout *l = s->l;
	const struct weir_layout_node *n = &l->nodes[node];
	size_t out = output_bytes(l, node, node), less = 0;
	int64_t gap = layout_overlay_gap(l, node);
	struct edge e = {.part = {.first = node, .last = node}, .steps = 1};

	if (l->settings->in_place && ((n->same && layout_may_stand(l, node, n->in)) ||
		(n->same2 && n->in2 >= 0 && layout_may_stand(l, node, n->in2))))
		less = out;
	else if (gap != INT64_MAX)
		less = saved(out, tensor_bytes(l, l->root[n->in]), gap, l->settings->align);
	e.peak = a->across + a->dying + out - less;
	e.time = (double)n->cost * (1 + 1.0 / n->rows) + STEP_COST;
	return edge_add(s, &e);
}

/* Time of a chain: a strip of r rows keeps the device as busy as r + 1 of a tall one, for rows are shared out whole. */
static void edge_time(const struct layout *l, struct edge *e)
{
	int rows = l->nodes[e->part.last].rows, strips = (rows - 1) / e->part.strip + 1;

	for (int i = e->part.first; i <= e->part.last; i++) {
		int steps = WEIR_MIN(strips, l->nodes[i].rows);

		e->steps += (size_t)steps;
		e->time += (double)l->nodes[i].cost * (1 + (double)steps / l->nodes[i].rows) + (double)steps * STEP_COST;
	}
}

static int edges_chain(struct search *s, int first, int last, const struct around *a)
{
	const struct layout *l = s->l;
	int rows = l->nodes[last].rows, err = 0;
	size_t best = SIZE_MAX, out = output_bytes(l, first, last);

	/* From high to low strips: a lower one must need less. */
	for (size_t i = WEIR_ARRAY_SIZE(strip_heights); i-- && !err;) {
		struct edge e = {.part = {first, last, strip_heights[i]}};
		struct layout_stream_cost cost;

		if (e.part.strip >= rows || (rows - 1) / e.part.strip >= SEARCH_STRIPS)
			continue;
		err = layout_stream_measure(l, &e.part, &cost);
		if (err)
			break;
		e.peak = a->across + a->dying + out + cost.rings;
		if (cost.over >= 0)
			e.peak -= saved(out, tensor_bytes(l, cost.over), cost.gap, l->settings->align);
		if (e.peak >= best)
			continue;
		best = e.peak;
		edge_time(l, &e);
		err = edge_add(s, &e);
	}
	return err;
}

/* All chains that begin at a node, and the node alone. */
static int edges_from(struct search *s, int first)
{
	const struct layout *l = s->l;
	struct around a = around_make(l, first);
	int used = first, err = 0;

	for (int last = first; last < l->n_nodes && last - first < s->longest && !err; last++) {
		around_extend(&a, l, first, last);
		if (last == first)
			err = edge_whole(s, first, &a);
		if (err || !layout_can_stream(l, last))
			break;
		/* What lies between is read within. */
		if (used <= last)
			err = edges_chain(s, first, last, &a);
		if (!layout_can_ring(l, last))
			break;
		used = WEIR_MAX(used, layout_storage(l, l->nodes[last].out)->last);
	}
	return err;
}

static int edges_make(struct search *s)
{
	const struct layout *l = s->l;
	int err = 0;

	s->from = calloc((size_t)l->n_nodes + 2, sizeof(*s->from));
	if (!s->from)
		return weir_fail(ENOMEM, "no memory to plan %d layers", l->n_nodes);
	s->longest = 1;
	while (s->longest < l->n_nodes &&
		(double)l->n_nodes * s->longest * s->longest / 2 * 4 * WEIR_ARRAY_SIZE(strip_heights) < SEARCH_WORK)
		s->longest++;
	for (int i = 0; i < l->n_nodes && !err; i++) {
		s->from[i] = s->n_edges;
		err = edges_from(s, i);
	}
	s->from[l->n_nodes] = s->n_edges;
	return err;
}

/* The smallest limit under which there is a way through all nodes. */
static int search_least(const struct search *s, size_t *least)
{
	int n = s->l->n_nodes;
	size_t *peak = calloc((size_t)n + 1, sizeof(*peak));

	if (!peak)
		return weir_fail(ENOMEM, "no memory to plan %d layers", n);
	for (int i = 1; i <= n; i++)
		peak[i] = SIZE_MAX;
	for (int i = 0; i < n; i++) {
		for (size_t e = s->from[i]; e < s->from[i + 1]; e++) {
			size_t *to = &peak[s->edges[e].part.last + 1];

			*to = WEIR_MIN(*to, WEIR_MAX(peak[i], s->edges[e].peak));
		}
	}
	*least = peak[n];
	free(peak);
	return 0;
}

/* The quickest way under a limit (or the one of the fewest steps), or NULL: without memory, or none. */
static struct weir_layout_chain *search_parts(const struct search *s, size_t limit, bool steps, size_t *n_parts)
{
	int n = s->l->n_nodes;
	struct weir_layout_chain *parts = calloc((size_t)n + 1, sizeof(*parts));
	double *best = calloc((size_t)n + 1, sizeof(*best));
	size_t *by = calloc((size_t)n + 1, sizeof(*by));
	size_t count = 0;

	for (int i = 1; best && i <= n; i++)
		best[i] = -1;
	for (int i = 0; parts && best && by && i < n; i++) {
		for (size_t e = s->from[i]; best[i] >= 0 && e < s->from[i + 1]; e++) {
			const struct edge *edge = &s->edges[e];
			double time = best[i] + (steps ? (double)edge->steps : edge->time);
			int to = edge->part.last + 1;

			if (edge->peak > limit || (best[to] >= 0 && best[to] <= time))
				continue;
			best[to] = time;
			by[to] = e;
		}
	}
	if (!parts || !best || !by || best[n] < 0) {
		free(parts);
		parts = NULL;
		goto out;
	}
	for (int i = n; i > 0; i = s->edges[by[i]].part.first)
		count++;
	*n_parts = count;
	for (int i = n; i > 0; i = s->edges[by[i]].part.first)
		parts[--count] = s->edges[by[i]].part;
out:
	free(best);
	free(by);
	return parts;
}

/* Places the parts, which it takes; the better of that and *out stays. */
static int search_place(const struct search *s, struct weir_layout_chain *parts, size_t n_parts, size_t goal,
	struct layout_plan *out, size_t *arena)
{
	struct layout_plan plan;
	int err = layout_plan_make(s->l, &plan, parts, n_parts, goal);

	*arena = err ? SIZE_MAX : plan.arena;
	if (!err && (!out->parts || plan.arena < out->arena ||
		(plan.arena == out->arena && plan.n_steps < out->n_steps))) {
		struct layout_plan other = *out;

		*out = plan;
		plan = other;
	}
	layout_plan_free(s->l, &plan);
	return err;
}

/* As quick as the budget allows: a limit that is lower by what placement went over it. */
static int search_budget(const struct search *s, size_t least, struct layout_plan *out)
{
	size_t budget = s->l->settings->budget, limit = budget, arena, n_parts;
	int err = 0;

	for (int i = 0; i < s->places && limit >= least && !err; i++) {
		struct weir_layout_chain *parts = search_parts(s, limit, false, &n_parts);

		if (!parts)
			break;
		err = search_place(s, parts, n_parts, budget, out, &arena);
		if (arena <= budget)
			break;
		limit -= WEIR_MIN(limit, WEIR_MAX(arena - budget, budget / 256 + 1));
	}
	return err;
}

/*
 * Placement leaves gaps that nobody foresees: so the way of the fewest steps under the lowest limit, and ways under higher
 * ones up to what has been reached, are all placed.
 */
static int search_smallest(const struct search *s, size_t least, struct layout_plan *out)
{
	size_t limit = least, arena, n_parts, n_before = 0;
	struct weir_layout_chain *before = NULL;
	int err = 0;

	for (int places = 0; places < s->places && !err && (!out->parts || limit < out->arena);
		limit += WEIR_MAX(least / 400, out->parts ? (out->arena - WEIR_MIN(limit, out->arena)) / 64 : 0) + 1) {
		struct weir_layout_chain *parts = search_parts(s, limit, true, &n_parts);

		if (!parts || (before && n_parts == n_before && !memcmp(parts, before, n_parts * sizeof(*parts)))) {
			free(parts);
			if (!parts)
				break;
			continue;
		}
		free(before);
		before = calloc(n_parts + 1, sizeof(*before));
		n_before = n_parts;
		if (before)
			memcpy(before, parts, n_parts * sizeof(*parts));
		err = search_place(s, parts, n_parts, 0, out, &arena);
		places++;
	}
	free(before);
	return err;
}

int layout_search(const struct layout *l, struct layout_plan *out)
{
	struct search s = {.l = l, .places = l->n_nodes > 2000 ? 2 : SEARCH_PLACES};
	size_t least = 0, budget = l->settings->budget;
	int err = edges_make(&s);

	memset(out, 0, sizeof(*out));
	if (!err)
		err = search_least(&s, &least);
	if (!err && budget != WEIR_LAYOUT_LEAST)
		err = search_budget(&s, least, out);
	if (!err && (!out->parts || out->arena > budget))
		err = search_smallest(&s, least, out);
	if (!err && !out->parts)
		err = weir_fail(ENOMEM, "no memory to plan %d layers", l->n_nodes);
	if (!err && out->arena > budget)
		err = weir_fail(ENOSPC, "needs at least %zu bytes of activations, the budget is %zu", out->arena, budget);
	free(s.edges);
	free(s.from);
	return err;
}
