/* SPDX-License-Identifier: MIT */
/*
 * What the device gets of a network: constants, the table of ops and steps, and two plans of the same steps: a chain of
 * launches, and one launch that goes through all of them.
 */
#include "graph/graph.h"
#include "vision/network.h"

#define CONTROL_BYTES 256 /* of kernels/cnn.cl's counters */
#define GPU_LOCAL 32

/* Work-groups of the one launch: more than threads, so that a late thread leaves its part to others. */
#define WHOLE_GROUPS 8

/* Cost (multiply-adds) that a chunk has at least, and chunks that a step has at most. */
#define CHUNK_COST 24000
#define LAUNCH_COST 100000
#define CHUNKS_MAX 16

/* ---- constants and the table --------------------------------------------------------------------- */

struct consts {
	size_t size;
	size_t *at; /* by tensor: 0 is none yet, else its place + 1 */
};

static int consts_add(const struct weir_net *net, struct consts *c, size_t bytes, size_t *at)
{
	*at = weir_align_up(c->size, 64);
	if (weir_size_add(*at, bytes, &c->size) && c->size <= INT32_MAX - 64)
		return 0;
	return weir_fail(EOPNOTSUPP, "%s: its constants have more than 2^31 bytes", net->lower->file->path);
}

/* A place for the values of a constant that a node takes as an input. */
static int consts_tensor(const struct weir_net *net, struct consts *c, int id)
{
	const struct weir_tflite_tensor *t;
	size_t at;
	int err;

	if (id < 0)
		return 0;
	id = weir_lower_storage(net->lower, id);
	t = weir_lower_tensor(net->lower, id);
	if (!t->data || c->at[id])
		return 0;
	err = consts_add(net, c, t->bytes, &at);
	c->at[id] = at + 1;
	return err;
}

static int consts_place(struct weir_net *net, struct consts *c)
{
	int err = 0;

	for (size_t i = 0; i < net->lower->n_nodes && !err; i++) {
		const struct weir_cnn_node *n = &net->lower->nodes[i];
		size_t at;

		err = consts_add(net, c, n->consts_size, &at);
		net->ops[i] = n->op;
		net->ops[i].consts = (int)at;
		if (!err)
			err = consts_tensor(net, c, n->in);
		if (!err)
			err = consts_tensor(net, c, n->in2);
	}
	return err;
}

static int consts_fill(struct weir_net *net, const struct consts *c)
{
	const struct weir_tflite *f = net->lower->file;
	unsigned char *to;
	void *p;
	int err = weir_buffer_create(net->dev, WEIR_MAX(c->size, 64), "weights of a network", &net->consts);

	if (!err)
		err = weir_buffer_begin(net->consts, 0, WEIR_MAX(c->size, 64), WEIR_ACCESS_WRITE, &p);
	if (err)
		return err;
	to = p;
	memset(to, 0, WEIR_MAX(c->size, 64));
	for (size_t i = 0; i < net->lower->n_nodes; i++) {
		struct weir_cnn_node *n = &net->lower->nodes[i];

		if (n->consts_size)
			memcpy(to + net->ops[i].consts, n->consts, n->consts_size);
		free(n->consts);
		n->consts = NULL;
	}
	for (unsigned t = 0; t < f->n_tensors; t++) {
		if (c->at[t])
			memcpy(to + c->at[t] - 1, f->tensors[t].data, f->tensors[t].bytes);
	}
	net->weight_bytes = c->size;
	return weir_buffer_end(net->consts, p);
}

/* The end, if any, whose buffer holds a tensor's bytes; its number among the bound ones. */
static const struct weir_net_end *bound_end(const struct weir_net *net, int root, int *number)
{
	*number = 0;
	for (unsigned i = 0; i < net->n_inputs + net->n_outputs; i++) {
		const struct weir_net_end *end =
			i < net->n_inputs ? &net->inputs[i] : &net->outputs[i - net->n_inputs];

		if (!end->bound)
			continue;
		if (end->root == root)
			return end;
		++*number;
	}
	return NULL;
}

static void view_place(const struct weir_net *net, const struct consts *c, int id, struct cnn_view *v)
{
	const struct weir_net_end *end;
	const struct weir_layout_tensor *t;
	int root, number;

	if (id < 0)
		return;
	root = weir_lower_storage(net->lower, id);
	t = &net->tensors[root];
	if (c->at[root]) {
		v->space = CNN_CONST;
		v->at = (int)(c->at[root] - 1);
		return;
	}
	end = bound_end(net, root, &number);
	if (end) {
		v->space = CNN_BOUND + number;
		v->at = (int)end->offset;
		return;
	}
	v->space = CNN_ARENA;
	v->at = (int)t->at;
	if (root == id && t->row_bytes && t->ring < t->rows)
		v->ring = t->ring;
}

static void ops_place(struct weir_net *net, const struct consts *c)
{
	for (size_t i = 0; i < net->lower->n_nodes; i++) {
		const struct weir_cnn_node *n = &net->lower->nodes[i];
		struct cnn_op *op = &net->ops[i];

		op->flags = net->nodes[i].columns ? CNN_COLUMNS : 0;
		view_place(net, c, n->in, &op->in);
		view_place(net, c, n->in2, &op->in2);
		view_place(net, c, n->out, &op->out);
	}
}

static int step_units(const struct weir_net *net, const struct weir_layout_step *s)
{
	const struct cnn_op *op = &net->ops[s->node];

	return op->flags & CNN_COLUMNS ? op->parts : op->parts * s->rows;
}

/* Into how many chunks a step is cut, of at least so much cost each; an even number, for two threads to share. */
static int step_chunks(const struct weir_net *net, const struct weir_layout_step *s, uint64_t least)
{
	const struct weir_layout_node *n = &net->nodes[s->node];
	uint64_t cost = n->cost * (uint64_t)s->rows / (uint64_t)WEIR_MAX(n->rows, 1);
	uint64_t units = (uint64_t)step_units(net, s), chunks = WEIR_MIN(cost / least, CHUNKS_MAX);

	chunks += chunks & 1;
	return (int)WEIR_MAX(WEIR_MIN(chunks, units), 1);
}

static int table_fill(struct weir_net *net)
{
	struct cnn_step *steps;
	unsigned char *to;
	void *p;
	int err = weir_buffer_begin(net->table, 0, net->table_size, WEIR_ACCESS_WRITE, &p);

	if (err)
		return err;
	to = p;
	memset(to, 0, net->table_size);
	memcpy(to, net->ops, net->lower->n_nodes * sizeof(*net->ops));
	steps = (struct cnn_step *)(to + net->steps_at);
	net->chunks = 0;
	for (size_t i = 0; i < net->layout.n_steps; i++) {
		const struct weir_layout_step *s = &net->layout.steps[i];

		steps[i] = (struct cnn_step){s->node, s->first, s->rows, step_chunks(net, s, CHUNK_COST),
			(int)net->chunks};
		net->chunks += (unsigned)steps[i].chunks;
	}
	return weir_buffer_end(net->table, p);
}

static int upload_all(struct weir_net *net, struct consts *c)
{
	const size_t align = weir_device_props(net->dev)->align;
	int err = consts_place(net, c);

	if (!err)
		err = consts_fill(net, c);
	if (!err && net->layout.arena > INT32_MAX)
		err = weir_fail(EOPNOTSUPP, "%s: its activations have more than 2^31 bytes", net->lower->file->path);
	if (!err)
		err = weir_buffer_create(net->dev, WEIR_MAX(net->layout.arena, 64), "activations", &net->arena);
	if (err)
		return err;
	net->steps_at = weir_align_up(net->lower->n_nodes * sizeof(struct cnn_op), align);
	net->control_at = weir_align_up(net->steps_at + net->layout.n_steps * sizeof(struct cnn_step), align);
	net->table_size = net->control_at + CONTROL_BYTES;
	return weir_buffer_create(net->dev, net->table_size, "table of ops", &net->table);
}

int weir_net_upload(struct weir_net *net)
{
	struct consts c = {.at = calloc((size_t)net->lower->file->n_tensors + 1, sizeof(*c.at))};
	int err;

	net->ops = calloc(net->lower->n_nodes + 1, sizeof(*net->ops));
	if (!c.at || !net->ops) {
		free(c.at);
		return weir_fail(ENOMEM, "%s: no memory for %zu ops", net->lower->file->path, net->lower->n_nodes);
	}
	for (size_t i = 0; i < net->lower->n_nodes; i++)
		net->macs += net->lower->nodes[i].macs;
	err = upload_all(net, &c);
	net->consts_at = c.at;
	return err;
}

/* ---- plans --------------------------------------------------------------------------------------- */

static bool is_gpu(const struct weir_net *net)
{
	return weir_device_props(net->dev)->schedule == WEIR_SCHEDULE_GPU;
}

struct spaces {
	struct weir_tensor *space[CNN_SPACES], *ops, *steps, *control;
};

static struct weir_tensor *whole_buffer(struct weir_graph *g, const char *name, weir_buffer *buf)
{
	return weir_graph_bind(g, name, buf, 0, weir_buffer_size(buf));
}

/* Spaces that nothing is in get the constants' buffer: kernels take a pointer for each. */
static void spaces_bind(const struct weir_net *net, struct weir_graph *g, struct spaces *s)
{
	int next = CNN_BOUND;

	s->space[CNN_ARENA] = whole_buffer(g, "arena", net->arena);
	s->space[CNN_CONST] = whole_buffer(g, "constants", net->consts);
	for (unsigned i = 0; i < net->n_inputs + net->n_outputs; i++) {
		const struct weir_net_end *end =
			i < net->n_inputs ? &net->inputs[i] : &net->outputs[i - net->n_inputs];

		if (end->bound)
			s->space[next++] = whole_buffer(g, end->tensor.name, end->bound);
	}
	while (next < CNN_SPACES)
		s->space[next++] = s->space[CNN_CONST];
	s->ops = weir_graph_bind(g, "ops", net->table, 0, net->lower->n_nodes * sizeof(struct cnn_op));
	s->steps = weir_graph_bind(g, "steps", net->table, net->steps_at,
		net->layout.n_steps * sizeof(struct cnn_step));
	s->control = weir_graph_bind(g, "counters", net->table, net->control_at, CONTROL_BYTES);
}

#define KINDS(first, last) ((2u << (last)) - (1u << (first)))

/*
 * The kinds that kernels are compiled with: whole families, so that networks share a few programs instead of each
 * having one of its own to wait for.
 */
static unsigned kinds_mask(const struct weir_net *net)
{
	static const unsigned families[] = {
		KINDS(CNN_CONV_I8, CNN_FILL), KINDS(CNN_NEAREST, CNN_BILINEAR_F32), KINDS(CNN_CONV_F32, CNN_BINARY_F32)};
	unsigned mask = 0;

	for (size_t i = 0; i < net->lower->n_nodes; i++) {
		for (unsigned f = 0; f < WEIR_ARRAY_SIZE(families); f++)
			mask |= families[f] & 1u << net->ops[i].kind ? families[f] : 0;
	}
	return mask;
}

/* Steps [first, first + n): one, or all. */
static struct weir_op *add_launch(const struct weir_net *net, struct weir_graph *g, const struct spaces *s,
	const char *label, unsigned groups, unsigned local, size_t first, size_t n)
{
	struct weir_op *op;
	char options[32];

	snprintf(options, sizeof(options), "-DCNN_MASK=0x%xu", kinds_mask(net));
	op = weir_graph_op(g, label, "cnn.cl", options, "cnn_run", groups, local);
	for (int i = 0; i < CNN_SPACES; i++)
		weir_op_update(op, s->space[i]);
	weir_op_read(op, s->ops);
	weir_op_read(op, s->steps);
	weir_op_int(op, (int32_t)first);
	weir_op_int(op, (int32_t)n);
	weir_op_int(op, (int32_t)net->chunks);
	weir_op_update(op, s->control);
	return op;
}

/* Bytes that a step reads and writes, about: its share of its tensors, and its weights. */
static uint64_t step_bytes(const struct weir_net *net, const struct weir_layout_step *s)
{
	const struct weir_cnn_node *n = &net->lower->nodes[s->node];
	uint64_t bytes = weir_lower_tensor(net->lower, n->out)->bytes;

	if (n->in >= 0)
		bytes += weir_lower_tensor(net->lower, n->in)->bytes;
	if (n->in2 >= 0)
		bytes += weir_lower_tensor(net->lower, n->in2)->bytes;
	return bytes * (uint64_t)s->rows / (uint64_t)WEIR_MAX(n->rows, 1) + n->consts_size;
}

static void record_chain(const struct weir_net *net, struct weir_graph *g)
{
	struct spaces spaces;

	spaces_bind(net, g, &spaces);
	for (size_t i = 0; i < net->layout.n_steps; i++) {
		const struct weir_layout_step *s = &net->layout.steps[i];
		const struct weir_cnn_node *n = &net->lower->nodes[s->node];
		unsigned units = (unsigned)step_units(net, s), local = is_gpu(net) ? GPU_LOCAL : 1;
		unsigned groups = is_gpu(net) ? (units + local - 1) / local
					      : (unsigned)step_chunks(net, s, LAUNCH_COST);
		struct weir_op *op = add_launch(net, g, &spaces, n->label, groups, local, i, 1);

		weir_op_cost(op, step_bytes(net, s), 0,
			2 * n->macs * (uint64_t)s->rows / (uint64_t)WEIR_MAX(n->rows, 1));
	}
}

static void record_whole(const struct weir_net *net, struct weir_graph *g)
{
	struct spaces spaces;
	struct weir_op *op;

	spaces_bind(net, g, &spaces);
	op = add_launch(net, g, &spaces, "network", WHOLE_GROUPS, 1, 0, net->layout.n_steps);
	weir_op_cost(op, net->weight_bytes + net->layout.unshared, 0, 2 * net->macs);
}

static int plan_make(struct weir_net *net, bool whole)
{
	struct weir_graph **g = whole ? &net->whole : &net->chain;
	struct consts c = {.at = net->consts_at};
	int err;

	/* Addresses are in the table: with the first plan after a bind it is written again. */
	if (!net->whole_plan && !net->chain_plan) {
		for (size_t i = 0; i < net->lower->n_nodes; i++) {
			int consts = net->ops[i].consts;

			net->ops[i] = net->lower->nodes[i].op;
			net->ops[i].consts = consts;
		}
		ops_place(net, &c);
		err = table_fill(net);
		if (err)
			return err;
	}
	err = weir_graph_create(net->dev, g);
	if (err)
		return err;
	if (whole)
		record_whole(net, *g);
	else
		record_chain(net, *g);
	err = weir_graph_plan(*g, whole ? &net->whole_plan : &net->chain_plan);
	if (err) {
		weir_graph_destroy(*g);
		*g = NULL;
	}
	return err;
}

void weir_net_plan_drop(struct weir_net *net)
{
	weir_graph_destroy(net->chain);
	weir_graph_destroy(net->whole);
	net->chain = net->whole = NULL;
	net->chain_plan = net->whole_plan = NULL;
}

void weir_net_plan_free(struct weir_net *net)
{
	weir_net_plan_drop(net);
	weir_buffer_destroy(net->arena);
	weir_buffer_destroy(net->consts);
	weir_buffer_destroy(net->table);
	free(net->ops);
	free(net->consts_at);
}

/* ---- running ------------------------------------------------------------------------------------- */

static int run_plan(struct weir_net *net, bool whole)
{
	struct weir_plan *plan = whole ? net->whole_plan : net->chain_plan;
	int err = 0;

	if (!plan) {
		err = plan_make(net, whole);
		plan = whole ? net->whole_plan : net->chain_plan;
	}
	if (!err)
		err = weir_plan_run(plan, 1);
	if (!err)
		err = weir_device_wait(net->dev);
	if (!err)
		net->ran_whole = whole;
	return err;
}

int weir_net_plan_run(struct weir_net *net)
{
	const struct weir_device_props *props = weir_device_props(net->dev);
	double start;
	bool whole, made;
	int err;

	if (!net->layout.n_steps)
		return 0;
	if (net->settings.mode == WEIR_NET_WHOLE && is_gpu(net))
		return weir_fail(EOPNOTSUPP, "%s: %s runs work-groups in no order that one launch could rely on",
			net->lower->file->path, props->name);
	if (net->settings.mode == WEIR_NET_CHAIN || is_gpu(net) || props->profiled)
		return run_plan(net, net->settings.mode == WEIR_NET_WHOLE);
	if (net->settings.mode == WEIR_NET_WHOLE)
		return run_plan(net, true);
	whole = weir_pace_whole(&net->pace);
	made = whole ? net->whole_plan : net->chain_plan;
	start = weir_now();
	err = run_plan(net, whole);
	/* A plan's first run makes it, builds kernels and touches memory: that says nothing of the next. */
	weir_pace_count(&net->pace, whole, !err && made ? weir_now() - start : 0);
	return err;
}
