/* SPDX-License-Identifier: MIT */
/* Graphs: tensors and ops as they are recorded, then an arena and a device plan made of them. */
#include <stdarg.h>

#include "base/base.h"
#include "graph/graph.h"
#include "graph/planner.h"

struct weir_tensor {
	struct weir_tensor *next;
	struct weir_graph *graph;
	char name[48];
	size_t size;
	struct weir_buffer *buffer; /* NULL until placed */
	size_t offset;
	bool planned, keep;
	int first, last; /* ops that use it; first is -1 before any does */
};

struct weir_op {
	struct weir_graph *graph;
	struct weir_op *next;
	int index;
	char *file, *options;
	struct weir_launch launch;
	struct weir_tensor *tensor[WEIR_LAUNCH_ARGS]; /* for arguments that are buffers */
};

struct weir_graph {
	weir_device *dev;
	struct weir_tensor *tensors;
	struct weir_op *ops, *last_op;
	int n_ops;
	int err;
	char text[1024]; /* the sentence of err */
	struct weir_buffer *arena;
	size_t arena_size, unshared;
	struct weir_plan *plan;
	struct weir_op broken; /* what constructors get after an error: takes arguments, goes nowhere */
	struct weir_tensor broken_tensor;
};

int weir_graph_create(weir_device *dev, struct weir_graph **out)
{
	struct weir_graph *g = calloc(1, sizeof(*g));

	if (!g)
		return weir_fail(ENOMEM, "no memory for a graph");
	g->dev = dev;
	g->broken.graph = g;
	g->broken_tensor.graph = g;
	*out = g;
	return 0;
}

void weir_graph_destroy(struct weir_graph *g)
{
	if (!g)
		return;
	weir_plan_destroy(g->plan);
	while (g->ops) {
		struct weir_op *op = g->ops;

		g->ops = op->next;
		free(op->file);
		free(op->options);
		free(op);
	}
	while (g->tensors) {
		struct weir_tensor *t = g->tensors;

		g->tensors = t->next;
		free(t);
	}
	weir_buffer_destroy(g->arena);
	free(g);
}

weir_device *weir_graph_device(const struct weir_graph *g)
{
	return g->dev;
}

void weir_graph_fail(struct weir_graph *g, int err, const char *fmt, ...)
{
	va_list args;

	if (g->err)
		return;
	g->err = -err;
	va_start(args, fmt);
	vsnprintf(g->text, sizeof(g->text), fmt, args);
	va_end(args);
}

bool weir_graph_ok(const struct weir_graph *g)
{
	return !g->err;
}

static struct weir_tensor *tensor_add(struct weir_graph *g, const char *name, size_t size)
{
	struct weir_tensor *t = g->err ? NULL : calloc(1, sizeof(*t));

	if (!t) {
		weir_graph_fail(g, ENOMEM, "no memory for the tensor %s", name);
		return &g->broken_tensor;
	}
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->graph = g;
	t->size = size;
	t->first = -1;
	t->next = g->tensors;
	g->tensors = t;
	if (!size)
		weir_graph_fail(g, EINVAL, "the tensor %s is empty", name);
	return t;
}

struct weir_tensor *weir_graph_tensor(struct weir_graph *g, const char *name, size_t size)
{
	struct weir_tensor *t = tensor_add(g, name, size);

	t->planned = true;
	return t;
}

struct weir_tensor *weir_graph_bind(struct weir_graph *g, const char *name, struct weir_buffer *buffer,
	size_t offset, size_t size)
{
	struct weir_tensor *t = tensor_add(g, name, size);
	size_t end;

	if (g->err)
		return t;
	if (!weir_size_add(offset, size, &end) || end > weir_buffer_size(buffer))
		weir_graph_fail(g, EINVAL, "the tensor %s ends beyond its buffer", name);
	t->buffer = buffer;
	t->offset = offset;
	return t;
}

void weir_tensor_keep(struct weir_tensor *t)
{
	t->keep = true;
}

size_t weir_tensor_size(const struct weir_tensor *t)
{
	return t->size;
}

struct weir_buffer *weir_tensor_buffer(const struct weir_tensor *t)
{
	return t->buffer;
}

size_t weir_tensor_offset(const struct weir_tensor *t)
{
	return t->offset;
}

struct weir_op *weir_graph_op(struct weir_graph *g, const char *label, const char *file,
	const char *options, const char *kernel, unsigned groups, unsigned local)
{
	struct weir_op *op = g->err ? NULL : calloc(1, sizeof(*op));

	if (!op)
		goto error;
	op->graph = g;
	op->file = strdup(file);
	op->options = strdup(options);
	op->launch.kernel = kernel;
	op->launch.label = label;
	op->launch.groups = groups;
	op->launch.local = local;
	if (!op->file || !op->options) {
		free(op->file);
		free(op->options);
		free(op);
		goto error;
	}
	op->index = g->n_ops++;
	if (g->last_op)
		g->last_op->next = op;
	else
		g->ops = op;
	g->last_op = op;
	return op;
error:
	weir_graph_fail(g, ENOMEM, "no memory for the op %s", label);
	memset(&g->broken.launch, 0, sizeof(g->broken.launch));
	return &g->broken;
}

static struct weir_arg *arg_add(struct weir_op *op, enum weir_arg_kind kind)
{
	struct weir_launch *l = &op->launch;
	struct weir_arg *arg;

	if (l->n_args == WEIR_LAUNCH_ARGS) {
		weir_graph_fail(op->graph, EINVAL, "the op %s has more than %d arguments", l->label,
			WEIR_LAUNCH_ARGS);
		l->n_args = 0;
	}
	arg = &l->args[l->n_args++];
	arg->kind = kind;
	return arg;
}

static void arg_tensor(struct weir_op *op, struct weir_tensor *t, bool reads)
{
	arg_add(op, WEIR_ARG_BUFFER);
	op->tensor[op->launch.n_args - 1] = t;
	if (op->graph->err)
		return;
	if (t->graph != op->graph) {
		weir_graph_fail(op->graph, EINVAL, "the op %s uses the tensor %s of another graph",
			op->launch.label, t->name);
		return;
	}
	/* Kept tensors may be the host's to write first. */
	if (t->first < 0 && reads && t->planned && !t->keep)
		weir_graph_fail(op->graph, EINVAL, "the op %s reads the tensor %s before anything writes it",
			op->launch.label, t->name);
	if (t->first < 0)
		t->first = op->index;
	t->last = op->index;
}

void weir_op_read(struct weir_op *op, struct weir_tensor *t)
{
	arg_tensor(op, t, true);
}

void weir_op_write(struct weir_op *op, struct weir_tensor *t)
{
	arg_tensor(op, t, false);
}

void weir_op_update(struct weir_op *op, struct weir_tensor *t)
{
	arg_tensor(op, t, true);
}

void weir_op_int(struct weir_op *op, int32_t v)
{
	arg_add(op, WEIR_ARG_INT)->i = v;
}

void weir_op_float(struct weir_op *op, float v)
{
	arg_add(op, WEIR_ARG_FLOAT)->f = v;
}

void weir_op_local(struct weir_op *op, size_t size)
{
	arg_add(op, WEIR_ARG_LOCAL)->size = size;
}

void weir_op_ahead(struct weir_op *op, size_t bytes)
{
	op->launch.ahead = bytes;
}

void weir_op_beside(struct weir_op *op)
{
	op->launch.beside = true;
}

void weir_op_cost(struct weir_op *op, uint64_t bytes, uint64_t token_bytes, uint64_t token_ops)
{
	op->launch.bytes = bytes;
	op->launch.token_bytes = token_bytes;
	op->launch.token_ops = token_ops;
}

static int graph_place(struct weir_graph *g)
{
	struct weir_block *blocks;
	size_t n = 0, i = 0;
	int err;

	for (struct weir_tensor *t = g->tensors; t; t = t->next)
		n += t->planned;
	if (!n)
		return 0;
	blocks = calloc(n, sizeof(*blocks));
	if (!blocks)
		return weir_fail(ENOMEM, "no memory to plan %zu tensors", n);
	for (struct weir_tensor *t = g->tensors; t; t = t->next) {
		if (!t->planned)
			continue;
		blocks[i].size = t->size;
		blocks[i].first = t->keep ? 0 : WEIR_MAX(t->first, 0);
		blocks[i++].last = t->keep ? g->n_ops : t->last;
		g->unshared += t->size;
	}
	g->arena_size = weir_planner_place(blocks, n, NULL, 0, weir_device_props(g->dev)->align, 0, &err);
	if (!err)
		err = weir_buffer_create(g->dev, g->arena_size, "activations", &g->arena);
	i = 0;
	for (struct weir_tensor *t = g->tensors; t && !err; t = t->next) {
		if (!t->planned)
			continue;
		t->buffer = g->arena;
		t->offset = blocks[i++].offset;
	}
	free(blocks);
	return err;
}

static int graph_record(struct weir_graph *g)
{
	struct weir_launch *launches = calloc((size_t)WEIR_MAX(g->n_ops, 1), sizeof(*launches));
	int err = launches ? 0 : weir_fail(ENOMEM, "no memory for a plan of %d launches", g->n_ops);
	size_t n = 0;

	for (struct weir_op *op = g->ops; op && !err; op = op->next) {
		for (unsigned i = 0; i < op->launch.n_args; i++) {
			if (op->launch.args[i].kind != WEIR_ARG_BUFFER)
				continue;
			op->launch.args[i].buffer = op->tensor[i]->buffer;
			op->launch.args[i].offset = op->tensor[i]->offset;
			op->launch.args[i].size = op->tensor[i]->size;
		}
		err = weir_program_find(g->dev, op->file, op->options, &op->launch.program);
		launches[n++] = op->launch;
	}
	if (!err)
		err = weir_plan_create(g->dev, launches, n, &g->plan);
	free(launches);
	return err;
}

int weir_graph_plan(struct weir_graph *g, struct weir_plan **out)
{
	int err;

	if (g->err)
		return weir_fail(-g->err, "%s", g->text);
	if (g->plan)
		return weir_fail(EINVAL, "the graph is planned already");
	err = graph_place(g);
	if (!err)
		err = graph_record(g);
	if (!err)
		*out = g->plan;
	return err;
}

size_t weir_graph_count(const struct weir_graph *g)
{
	return (size_t)g->n_ops;
}

size_t weir_graph_arena(const struct weir_graph *g)
{
	return g->arena_size;
}

size_t weir_graph_unshared(const struct weir_graph *g)
{
	return g->unshared;
}
