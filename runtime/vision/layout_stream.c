/* SPDX-License-Identifier: MIT */
/*
 * Streaming of a chain of layers: strip by strip of the last one's rows, each layer makes the rows that are needed and not
 * there yet. What follows: steps, how many rows each tensor keeps, and what of the chain's input and output is in use.
 */
#include "vision/layout_parts.h"

/* Strips until a chain has its steady pace: the first fills it. */
#define STREAM_STRIPS 4

/* A chain that is being played. Nodes are counted from its first. */
struct stream {
	const struct layout *l;
	int first, n, strip;
	int *from, *from2; /* the node that makes in, in2; -1: none of the chain */
	int *made, *need;  /* rows so far, and to be made for this strip */
	int *final;	   /* rows that are needed at all */
	int *ring;	   /* most rows of its output that were held at a time */
	int *reader;	   /* by node k: the last input (2 * node, or 2 * node + 1 for in2) that reads it */
	int *next;	   /* by input: another one that reads the same */
	int *memory;
};

int layout_rows_needed(const struct layout *l, int node, int input, int rows)
{
	const struct weir_layout_node *n = &l->nodes[node];
	int64_t end = rows;

	if (rows <= 0)
		return 0;
	if (!input)
		end = ((int64_t)rows - 1) * n->stride - n->pad + n->span;
	return (int)WEIR_MAX(WEIR_MIN(end, l->tensors[input ? n->in2 : n->in].rows), 0);
}

/* The first row of an input that row `row` of the node needs, or a later one. */
static int row_lowest(const struct layout *l, int node, int input, int row)
{
	const struct weir_layout_node *n = &l->nodes[node];
	int64_t low = input ? row : (int64_t)row * n->stride - n->pad;

	return (int)WEIR_MAX(WEIR_MIN(low, l->tensors[input ? n->in2 : n->in].rows), 0);
}

bool layout_can_stream(const struct layout *l, int node)
{
	const struct weir_layout_node *n = &l->nodes[node];
	const struct weir_layout_tensor *in = &l->tensors[n->in], *out = &l->tensors[n->out];
	const struct layout_storage *s = layout_storage(l, n->out);

	/* Nobody may have used the output's bytes before: reads would come after writes that are later in the list. */
	return n->span > 0 && in->row_bytes && in->rows > 0 && out->row_bytes && out->rows == n->rows &&
		(n->in2 < 0 || (l->tensors[n->in2].row_bytes && l->tensors[n->in2].rows == n->rows)) &&
		s->writers == 1 && s->first == node && l->root[n->in] != l->root[n->out] &&
		(n->in2 < 0 || l->root[n->in2] != l->root[n->out]);
}

bool layout_can_ring(const struct layout *l, int node)
{
	const struct layout_storage *s = layout_storage(l, l->nodes[node].out);

	return s->arena && s->rows && s->first == node && s->last > node && s->last < l->n_nodes;
}

static void stream_free(struct stream *s)
{
	free(s->memory);
}

/* The node of the chain before `node` that makes the tensor. */
static int stream_maker(const struct stream *s, int tensor, int node)
{
	int writer;

	if (tensor < 0)
		return -1;
	writer = layout_storage(s->l, tensor)->writer - s->first;
	return writer >= 0 && writer < node ? writer : -1;
}

static int stream_init(struct stream *s, const struct layout *l, const struct weir_layout_chain *chain)
{
	size_t n = (size_t)(chain->last - chain->first + 1);

	*s = (struct stream){.l = l, .first = chain->first, .n = (int)n, .strip = chain->strip};
	s->memory = calloc(n, 9 * sizeof(*s->memory));
	if (!s->memory)
		return weir_fail(ENOMEM, "no memory to stream %zu layers", n);
	s->from = s->memory;
	s->from2 = s->from + n;
	s->made = s->from2 + n;
	s->need = s->made + n;
	s->final = s->need + n;
	s->ring = s->final + n;
	s->reader = s->ring + n;
	s->next = s->reader + n;
	for (int k = 0; k < s->n; k++) {
		const struct weir_layout_node *node = &l->nodes[s->first + k];

		s->from[k] = stream_maker(s, node->in, k);
		s->from2[k] = stream_maker(s, node->in2, k);
		s->reader[k] = -1;
		for (int i = 0; i < 2; i++) {
			int maker = i ? s->from2[k] : s->from[k];

			if (maker < 0)
				continue;
			s->next[2 * k + i] = s->reader[maker];
			s->reader[maker] = 2 * k + i;
		}
	}
	return 0;
}

/* What rows [0, rows) of the last node need, by node. */
static void stream_need(struct stream *s, int *need, int rows)
{
	const struct layout *l = s->l;

	memset(need, 0, (size_t)s->n * sizeof(*need));
	need[s->n - 1] = rows;
	for (int k = s->n - 1; k >= 0; k--) {
		int node = s->first + k;

		if (s->from[k] >= 0)
			need[s->from[k]] = WEIR_MAX(need[s->from[k]], layout_rows_needed(l, node, 0, need[k]));
		if (s->from2[k] >= 0)
			need[s->from2[k]] = WEIR_MAX(need[s->from2[k]], layout_rows_needed(l, node, 1, need[k]));
	}
}

/* The lowest row of k's output that a later step reads, this one among them. */
static int stream_lowest(const struct stream *s, int k)
{
	int low = INT32_MAX;

	for (int i = s->reader[k]; i >= 0; i = s->next[i]) {
		int reader = i / 2;

		if (s->made[reader] < s->final[reader])
			low = WEIR_MIN(low, row_lowest(s->l, s->first + reader, i % 2, s->made[reader]));
	}
	return low;
}

/* The same of a tensor that the chain reads and does not make: bytes before what is still needed. */
static size_t stream_dead(const struct stream *s, int root)
{
	const struct weir_layout_tensor *t = &s->l->tensors[root];
	int low = t->rows;

	for (int k = 0; k < s->n; k++) {
		const struct weir_layout_node *n = &s->l->nodes[s->first + k];

		if (s->made[k] >= s->final[k])
			continue;
		if (s->l->root[n->in] == root)
			low = WEIR_MIN(low, row_lowest(s->l, s->first + k, 0, s->made[k]));
		if (n->in2 >= 0 && s->l->root[n->in2] == root)
			low = WEIR_MIN(low, row_lowest(s->l, s->first + k, 1, s->made[k]));
	}
	return (size_t)low * t->row_bytes;
}

typedef int (*stream_fn)(void *user, struct stream *s, int k, int rows);

/* Calls fn for every step, before its rows count as made. */
static int stream_play(struct stream *s, int strips, stream_fn fn, void *user)
{
	int rows = s->l->nodes[s->first + s->n - 1].rows, err = 0;

	stream_need(s, s->final, rows);
	for (int done = 0; done < rows && strips-- && !err; done += s->strip) {
		stream_need(s, s->need, WEIR_MIN(rows, done + WEIR_MIN(s->strip, rows - done)));
		for (int k = 0; k < s->n && !err; k++) {
			int more = s->need[k] - s->made[k];

			if (more <= 0)
				continue;
			/* Rows of one step have places of their own, needed or not (a stride may pass over some). */
			s->ring[k] = WEIR_MAX(s->ring[k], s->need[k] - WEIR_MIN(stream_lowest(s, k), s->made[k]));
			err = fn(user, s, k, more);
			s->made[k] = s->need[k];
		}
	}
	return err;
}

/* Whether the chain is the last that needs the tensor, from its first row to its last. */
static bool stream_consumes(const struct layout *l, const struct weir_layout_chain *chain, int tensor)
{
	const struct layout_storage *s = layout_storage(l, tensor);

	return s->arena && s->rows && s->first < chain->first && s->last >= chain->first && s->last <= chain->last;
}

static bool stream_fills(const struct layout *l, const struct weir_layout_chain *chain)
{
	const struct layout_storage *s = layout_storage(l, l->nodes[chain->last].out);

	return s->arena && s->rows && s->writers == 1 && s->first == chain->last;
}

struct measure {
	size_t out_row;	      /* bytes of a row of the output */
	int64_t now, before;  /* the gap in the last two strips that made output */
	int root;	      /* of the input that the output may overwrite; -1: none */
	struct layout_stream_cost *out;
};

static int measure_step(void *user, struct stream *s, int k, int rows)
{
	struct measure *m = user;

	if (k < s->n - 1 || m->root < 0)
		return 0;
	m->before = m->now;
	m->now = (int64_t)((size_t)(s->made[k] + rows) * m->out_row) - (int64_t)stream_dead(s, m->root);
	m->out->gap = WEIR_MAX(m->out->gap, m->now);
	return 0;
}

/* The largest tensor that the chain uses up. */
static int stream_largest(const struct layout *l, const struct weir_layout_chain *chain)
{
	int best = -1;

	for (int i = chain->first; i <= chain->last; i++) {
		const int inputs[2] = {l->nodes[i].in, l->nodes[i].in2};

		for (int j = 0; j < 2; j++) {
			if (inputs[j] >= 0 && stream_consumes(l, chain, inputs[j]) &&
				(best < 0 || l->tensors[inputs[j]].bytes > l->tensors[best].bytes))
				best = l->root[inputs[j]];
		}
	}
	return best;
}

int layout_stream_measure(const struct layout *l, const struct weir_layout_chain *chain, struct layout_stream_cost *out)
{
	const struct weir_layout_tensor *result = &l->tensors[l->nodes[chain->last].out];
	int strips = (result->rows - 1) / chain->strip + 1;
	struct measure m = {.out_row = result->row_bytes, .root = -1, .out = out};
	struct stream s;
	int err = stream_init(&s, l, chain);

	*out = (struct layout_stream_cost){.gap = INT64_MIN};
	if (err)
		return err;
	if (stream_fills(l, chain))
		m.root = stream_largest(l, chain);
	err = stream_play(&s, STREAM_STRIPS, measure_step, &m);
	if (m.root >= 0 && strips > STREAM_STRIPS && m.now > m.before)
		out->gap += (m.now - m.before) * (strips - STREAM_STRIPS);
	out->gap = WEIR_MIN(out->gap, (int64_t)result->bytes);
	out->over = m.root;
	for (int k = 0; k < s.n - 1; k++) {
		const struct weir_layout_tensor *t = &l->tensors[l->nodes[chain->first + k].out];

		out->rings += weir_align_up((size_t)WEIR_MIN(s.ring[k], t->rows) * t->row_bytes, l->settings->align);
	}
	stream_free(&s);
	return err;
}

struct record {
	struct layout_plan *plan;
	int out;     /* the output's storage; -1: it is not filled from the top */
	int *inputs; /* those of tensors that the chain uses up */
	int n_inputs;
};

static int record_step(void *user, struct stream *s, int k, int rows)
{
	struct record *r = user;
	struct layout_plan *plan = r->plan;
	int step = (int)plan->n_steps;

	for (int i = 0; i < r->n_inputs; i++) {
		struct layout_window *w = &plan->shrinks[r->inputs[i]];

		w->bytes[step - w->from] = stream_dead(s, r->inputs[i]);
		w->to = step;
	}
	if (r->out >= 0) {
		struct layout_window *w = &plan->grows[r->out];
		int made = s->made[s->n - 1] + (k == s->n - 1 ? rows : 0);

		w->bytes[step - w->from] = (size_t)made * s->l->tensors[r->out].row_bytes;
		w->to = step;
	}
	return layout_plan_step(s->l, plan, s->first + k, s->made[k], rows);
}

static int window_begin(const struct layout_plan *plan, struct layout_window *w, size_t max)
{
	w->from = (int)plan->n_steps;
	w->to = w->from - 1;
	w->bytes = calloc(max, sizeof(*w->bytes));
	return w->bytes ? 0 : weir_fail(ENOMEM, "no memory for a chain of %zu steps", max);
}

static int record_begin(struct record *r, const struct layout *l, const struct weir_layout_chain *chain)
{
	const struct weir_layout_node *last = &l->nodes[chain->last];
	size_t n = (size_t)(chain->last - chain->first + 1), max = n * ((size_t)(last->rows - 1) / (size_t)chain->strip + 1);
	int err = 0;

	r->inputs = calloc(2 * n, sizeof(*r->inputs));
	if (!r->inputs)
		return weir_fail(ENOMEM, "no memory to stream %zu layers", n);
	r->out = stream_fills(l, chain) ? l->root[last->out] : -1;
	if (r->out >= 0)
		err = window_begin(r->plan, &r->plan->grows[r->out], max);
	for (size_t i = 0; i < 2 * n && !err; i++) {
		const struct weir_layout_node *node = &l->nodes[chain->first + (int)(i / 2)];
		int tensor = i % 2 ? node->in2 : node->in;

		if (tensor < 0 || !stream_consumes(l, chain, tensor) || r->plan->shrinks[l->root[tensor]].bytes)
			continue;
		r->inputs[r->n_inputs++] = l->root[tensor];
		err = window_begin(r->plan, &r->plan->shrinks[l->root[tensor]], max);
	}
	return err;
}

int layout_stream_plan(const struct layout *l, const struct weir_layout_chain *chain, struct layout_plan *plan)
{
	struct record r = {.plan = plan, .out = -1};
	struct stream s;
	int err = stream_init(&s, l, chain);

	if (err)
		return err;
	err = record_begin(&r, l, chain);
	if (!err)
		err = stream_play(&s, INT32_MAX, record_step, &r);
	for (int k = 0; k < s.n - 1; k++) {
		const struct weir_layout_tensor *t = &l->tensors[l->nodes[s.first + k].out];

		plan->ring[l->root[l->nodes[s.first + k].out]] = WEIR_MIN(s.ring[k], t->rows);
	}
	free(r.inputs);
	stream_free(&s);
	return err;
}
