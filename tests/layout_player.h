/* SPDX-License-Identifier: MIT */
/*
 * For suites of layouts: networks in the making, and a player of plans on a map that knows whose row every byte of the arena
 * holds.
 */
#ifndef WEIR_TESTS_LAYOUT_PLAYER_H
#define WEIR_TESTS_LAYOUT_PLAYER_H

#include "base/base.h"
#include "suite.h"
#include "vision/layout.h"
#include "weir/weir.h"

enum { MOST = 1200 };

/* A network in the making. */
struct net {
	struct weir_layout_tensor tensors[MOST];
	struct weir_layout_node nodes[MOST];
	size_t n_tensors, n_nodes;
	int width[MOST], channels[MOST];
};

static inline int net_tensor(struct net *n, int rows, int width, int channels)
{
	int id = (int)n->n_tensors++;

	ck_assert_int_lt(id, MOST);
	n->tensors[id] = (struct weir_layout_tensor){.row_bytes = (size_t)width * (size_t)channels, .rows = rows, .storage = id};
	n->tensors[id].bytes = n->tensors[id].row_bytes * (size_t)rows;
	n->width[id] = width;
	n->channels[id] = channels;
	return id;
}

static inline struct weir_layout_node *net_node(struct net *n, int in, int in2, int out)
{
	struct weir_layout_node *node = &n->nodes[n->n_nodes++];

	ck_assert_uint_le(n->n_nodes, MOST);
	*node = (struct weir_layout_node){.in = in, .in2 = in2, .out = out, .rows = n->tensors[out].rows, .cost = 1000};
	return node;
}

static inline int window_out(int size, int kernel, int stride, int pad)
{
	return (size + 2 * pad - kernel) / stride + 1;
}

/* A layer with a window that moves over pictures. */
static inline int net_window(struct net *n, int in, int kernel, int stride, int pad, int channels, bool depthwise)
{
	int rows = window_out(n->tensors[in].rows, kernel, stride, pad);
	int width = WEIR_MAX(window_out(n->width[in], kernel, stride, pad), 1);
	int out = net_tensor(n, rows, width, channels);
	struct weir_layout_node *node = net_node(n, in, -1, out);

	ck_assert_int_gt(rows, 0);
	node->stride = stride;
	node->pad = pad;
	node->span = kernel;
	node->overlay = depthwise ? (size_t)channels : 0;
	node->cost = (uint64_t)rows * (uint64_t)width * (uint64_t)channels * (uint64_t)(kernel * kernel) *
		(uint64_t)(depthwise ? 1 : n->channels[in]);
	return out;
}

static inline int net_binary(struct net *n, int in, int in2)
{
	int out = net_tensor(n, n->tensors[in].rows, n->width[in], n->channels[in]);
	struct weir_layout_node *node = net_node(n, in, in2, out);

	node->stride = node->span = 1;
	node->same = true;
	node->same2 = in2 >= 0;
	node->cost = n->tensors[out].bytes;
	return out;
}

/* ---- the player ---- */

static uint32_t *owner;
static size_t owner_size;

/* Every row of every storage has a number of its own; 0: nobody's. */
static inline uint32_t row_number(const struct net *n, int root, int row)
{
	uint32_t id = 1;

	for (int i = 0; i < root; i++)
		id += (uint32_t)n->tensors[i].rows + 1;
	return id + (uint32_t)row;
}

struct player {
	const struct net *net;
	const struct weir_layout_settings *set;
	const struct weir_layout *layout;
	int made[MOST]; /* rows, by node */
	int writers[MOST], written[MOST]; /* by storage: nodes that write it, and have done so */
	uint32_t number[MOST];
};

static inline bool rows_apart(const struct weir_layout_tensor *t)
{
	return t->row_bytes && t->row_bytes * (size_t)t->rows == t->bytes;
}

/* Marks or checks one row, or all of a tensor with no rows (row 0). */
static inline void row_touch(const struct player *p, int root, int row, bool mark)
{
	const struct weir_layout_tensor *t = &p->net->tensors[root];
	size_t size = rows_apart(t) ? t->row_bytes : t->bytes;
	size_t at = t->at + (rows_apart(t) ? (size_t)(row % t->ring) * t->row_bytes : 0);
	uint32_t number = p->number[root] + (uint32_t)row;

	ck_assert_uint_le(at + size, p->layout->arena);
	for (size_t i = at; i < at + size; i++) {
		if (mark)
			owner[i] = number;
		else if (owner[i] != number)
			ck_abort_msg("byte %zu is not row %d of tensor %d: %u, not %u", i, row, root, owner[i], number);
	}
}

static inline void tensor_touch(const struct player *p, int tensor, int from, int to, bool mark)
{
	int root = p->net->tensors[tensor].storage;
	const struct weir_layout_tensor *t = &p->net->tensors[root];

	if (t->fixed)
		return;
	if (root != tensor || !rows_apart(t)) {
		from = 0;
		to = rows_apart(t) ? t->rows : 1;
	}
	for (int row = WEIR_MAX(from, 0); row < to && row < WEIR_MAX(t->rows, 1); row++)
		row_touch(p, root, row, mark);
}

/* Checks what rows [first, first + rows) of a node's output need of an input. */
static inline void input_check(const struct player *p, int node, bool second, int first, int rows)
{
	const struct weir_layout_node *n = &p->net->nodes[node];
	int tensor = second ? n->in2 : n->in;

	if (tensor < 0)
		return;
	if (!n->span)
		tensor_touch(p, tensor, 0, INT32_MAX, false);
	else if (second)
		tensor_touch(p, tensor, first, first + rows, false);
	for (int y = first; n->span && !second && y < first + rows; y++)
		tensor_touch(p, tensor, y * n->stride - n->pad, y * n->stride - n->pad + n->span, false);
}

/* Whether a node's output stands exactly in an input's place, as it may. */
static inline bool stands_in(const struct player *p, int node, bool second)
{
	const struct weir_layout_node *n = &p->net->nodes[node];
	int tensor = second ? n->in2 : n->in;
	const struct weir_layout_tensor *in, *out = &p->net->tensors[p->net->tensors[n->out].storage];

	if (tensor < 0 || !(second ? n->same2 : n->same) || !p->set->in_place)
		return false;
	in = &p->net->tensors[p->net->tensors[tensor].storage];
	return !in->fixed && !out->fixed && in != out && in->at == out->at && in->bytes == out->bytes &&
		in->ring == in->rows && out->ring == out->rows;
}

static inline void node_columns(struct player *p, int node)
{
	const struct weir_layout_node *n = &p->net->nodes[node];
	const struct weir_layout_tensor *in = &p->net->tensors[n->in], *out = &p->net->tensors[n->out];

	ck_assert(p->set->overlay && n->overlay);
	ck_assert_uint_ge(in->at, out->at);
	ck_assert_uint_eq((in->at - out->at) % n->overlay, 0);
	ck_assert_msg(in->at < out->at + out->bytes, "columns for nothing");
	for (int y = 0; y < n->rows; y++) {
		tensor_touch(p, n->out, y, y + 1, true);
		input_check(p, node, false, y, 1);
	}
}

/* Writes first, then reads: in one step nothing says which comes first, but where an output stands in its input's place. */
static inline void step_play(struct player *p, const struct weir_layout_step *s)
{
	const struct weir_layout_node *n = &p->net->nodes[s->node];
	int root = p->net->tensors[n->out].storage;
	bool whole = s->first == 0 && s->rows == n->rows;
	bool same = whole && stands_in(p, s->node, false), same2 = whole && stands_in(p, s->node, true);

	ck_assert_int_eq(s->first, p->made[s->node]);
	ck_assert_int_gt(s->rows, 0);
	ck_assert_int_le(s->first + s->rows, n->rows);
	ck_assert(whole || n->span);
	p->made[s->node] += s->rows;
	if (n->columns) {
		ck_assert(whole);
		node_columns(p, s->node);
	} else {
		ck_assert_int_le(WEIR_MIN(s->rows, p->net->tensors[root].rows), WEIR_MAX(p->net->tensors[root].ring, 0));
		if (same)
			input_check(p, s->node, false, s->first, s->rows);
		if (same2)
			input_check(p, s->node, true, s->first, s->rows);
		/* What others have written of it is still there. */
		if (p->written[root] && p->writers[root] > 1)
			tensor_touch(p, root, 0, INT32_MAX, false);
		if (p->writers[root] > 1)
			tensor_touch(p, root, 0, INT32_MAX, true);
		else
			tensor_touch(p, n->out, s->first, s->first + s->rows, true);
		if (!same)
			input_check(p, s->node, false, s->first, s->rows);
		if (!same2)
			input_check(p, s->node, true, s->first, s->rows);
	}
	p->written[root]++;
}

/* Where tensors lie, and that the arena is no larger than that. */
static inline void places_check(const struct player *p)
{
	size_t end = 0;

	for (size_t i = 0; i < p->net->n_tensors; i++) {
		const struct weir_layout_tensor *t = &p->net->tensors[i];
		bool rings = rows_apart(t) && t->ring < t->rows;

		if (t->storage != (int)i || t->fixed || p->layout->first[i] < 0)
			continue;
		ck_assert_uint_eq(t->at % p->set->align, 0);
		ck_assert_int_le(p->layout->first[i], p->layout->last[i]);
		ck_assert(p->set->stream || !rings);
		end = WEIR_MAX(end, t->at + weir_align_up(rings ? t->row_bytes * (size_t)t->ring : t->bytes, p->set->align));
	}
	ck_assert_uint_eq(end, p->layout->arena);
	ck_assert_uint_ge(p->layout->unshared, p->layout->arena);
}

static inline void layout_play(const struct net *n, const struct weir_layout_settings *set, const struct weir_layout *layout)
{
	static struct player p;

	memset(&p, 0, sizeof(p));
	p.net = n;
	p.set = set;
	p.layout = layout;
	places_check(&p);
	if (owner_size < layout->arena) {
		owner_size = layout->arena;
		owner = realloc(owner, owner_size * sizeof(*owner));
	}
	memset(owner, 0, layout->arena * sizeof(*owner));
	for (size_t i = 0; i < n->n_tensors; i++)
		p.number[i] = i ? p.number[i - 1] + (uint32_t)n->tensors[i - 1].rows + 1 : row_number(n, 0, 0);
	for (size_t i = 0; i < n->n_nodes; i++)
		p.writers[n->tensors[n->nodes[i].out].storage]++;
	for (size_t i = 0; i < n->n_tensors; i++) {
		if (n->tensors[i].before)
			tensor_touch(&p, (int)i, 0, INT32_MAX, true);
	}
	for (size_t i = 0; i < layout->n_steps; i++)
		step_play(&p, &layout->steps[i]);
	for (size_t i = 0; i < n->n_tensors; i++) {
		if (n->tensors[i].after)
			tensor_touch(&p, (int)i, 0, INT32_MAX, false);
	}
	/* Rows that nobody needs may be missing inside of chains alone. */
	for (size_t i = 0; i < n->n_nodes; i++) {
		bool inside = false;

		for (size_t c = 0; c < layout->n_chains; c++)
			inside |= (int)i >= layout->chains[c].first && (int)i < layout->chains[c].last;
		ck_assert(inside || p.made[i] == n->nodes[i].rows);
	}
	ck_assert(set->stream || (layout->n_steps == n->n_nodes && !layout->n_chains));
}

/* Lays out and plays; the arena's size, or 0 when the budget is too small, which is said with what would do. */
static inline size_t layout_size(struct net *n, struct weir_layout_settings set)
{
	struct weir_layout layout;
	size_t least = 0, budget = 0, arena;
	int err = weir_layout_make(n->tensors, n->n_tensors, n->nodes, n->n_nodes, &set, &layout);

	if (err == -ENOSPC) {
		ck_assert_int_eq(sscanf(weir_error(), "needs at least %zu bytes of activations, the budget is %zu", &least,
			&budget), 2);
		ck_assert_uint_eq(budget, set.budget);
		ck_assert_uint_gt(least, budget);
		return 0;
	}
	ck_assert_msg(!err, "%s", weir_error());
	ck_assert_uint_le(layout.arena, set.budget ? set.budget : SIZE_MAX);
	layout_play(n, &set, &layout);
	arena = layout.arena;
	weir_layout_free(&layout);
	return arena;
}

#endif
