/* SPDX-License-Identifier: MIT */
/* Networks: from a TFLite file to tensors with places, and what goes in and out. */
#include "vision/network.h"

void weir_net_settings_default(struct weir_net_settings *settings)
{
	*settings = (struct weir_net_settings){
		.size = sizeof(*settings),
		.in_place = true,
		.overlay = true,
		.fold = true,
	};
}

static int settings_check(const struct weir_net_settings *given, struct weir_net_settings *out)
{
	weir_net_settings_default(out);
	if (!given)
		return 0;
	if (given->size != sizeof(*given))
		return weir_fail(EINVAL, "settings of a network have %zu bytes, not %zu: begin with weir_net_settings_default",
			sizeof(*given), given->size);
	if ((unsigned)given->mode > WEIR_NET_WHOLE)
		return weir_fail(EINVAL, "there is no mode %u of running a network", (unsigned)given->mode);
	*out = *given;
	return 0;
}

/* ---- layout -------------------------------------------------------------------------------------- */

static bool in_arena(const struct weir_lower *l, int tensor)
{
	return !weir_lower_tensor(l, tensor)->data;
}

static void describe_tensor(const struct weir_lower *l, int id, struct weir_layout_tensor *out)
{
	const struct weir_tflite_tensor *t = weir_lower_tensor(l, id);
	const struct weir_lower_tensor *state = &l->tensors[id];
	struct cnn_view v;

	*out = (struct weir_layout_tensor){
		.bytes = t->bytes,
		.storage = weir_lower_storage(l, id),
		.fixed = !in_arena(l, id),
		.before = state->input,
		.after = state->output,
	};
	if (out->fixed || (t->type != WEIR_TFLITE_I8 && t->type != WEIR_TFLITE_F32))
		return;
	v = weir_lower_view(l, id);
	out->rows = v.n * v.h;
	/* Bytes that are also another tensor's have rows of another length there. */
	if (v.n == 1 && state->alias < 0 && !state->shared)
		out->row_bytes = (size_t)v.pitch;
}

/* What a step of a node takes, in the time that a multiply-add takes: depthwise ones use less of the machine. */
static uint64_t node_cost(const struct weir_cnn_node *n)
{
	const struct cnn_view *v = &n->op.out;
	uint64_t values = (uint64_t)v->n * (uint64_t)v->h * (uint64_t)v->pitch;

	return n->macs * (n->op.kind == CNN_CONV_I8 ? 1 : 4) + 8 * values;
}

static void describe_node(const struct weir_lower *l, const struct weir_cnn_node *n, struct weir_layout_node *out)
{
	*out = (struct weir_layout_node){
		.in = n->in,
		.in2 = n->in2,
		.out = n->out,
		.rows = n->rows,
		.stride = n->stride,
		.pad = n->pad,
		.span = n->op.out.n == 1 ? n->span : 0,
		.same = n->same,
		.same2 = n->same2,
		.overlay = n->op.out.n == 1 ? n->overlay : 0,
		.cost = node_cost(n),
	};
	/* A constant is no tensor that has a life. */
	if (out->in2 >= 0 && !in_arena(l, out->in2)) {
		out->in2 = -1;
		out->same2 = false;
	}
}

/*
 * Layout of a lowered file. tensors and nodes are malloced, the caller's; bound tensors are fixed (marked before the call by
 * the caller through fix).
 */
static int lay_out(const struct weir_lower *l, const struct weir_net_settings *s, struct weir_layout_tensor *tensors,
	struct weir_layout_node *nodes, struct weir_layout *layout)
{
	struct weir_layout_settings set = {
		.budget = s->memory_budget >= SIZE_MAX ? WEIR_LAYOUT_LEAST : (size_t)s->memory_budget,
		.align = 16,
		.in_place = s->in_place,
		.overlay = s->overlay,
		.stream = s->memory_budget != 0,
	};

	for (unsigned i = 0; i < l->file->n_tensors; i++)
		describe_tensor(l, (int)i, &tensors[i]);
	for (size_t i = 0; i < l->n_nodes; i++)
		describe_node(l, &l->nodes[i], &nodes[i]);
	return weir_layout_make(tensors, l->file->n_tensors, nodes, l->n_nodes, &set, layout);
}

static int layout_alloc(const struct weir_lower *l, struct weir_layout_tensor **tensors,
	struct weir_layout_node **nodes)
{
	*tensors = calloc((size_t)l->file->n_tensors + 1, sizeof(**tensors));
	*nodes = calloc(l->n_nodes + 1, sizeof(**nodes));
	if (*tensors && *nodes)
		return 0;
	free(*tensors);
	free(*nodes);
	*tensors = NULL;
	*nodes = NULL;
	return weir_fail(ENOMEM, "%s: no memory for a layout of %zu nodes", l->file->path, l->n_nodes);
}

int weir_net_check(const struct weir_tflite *file, const struct weir_net_settings *settings)
{
	struct weir_layout_tensor *tensors;
	struct weir_layout_node *nodes;
	struct weir_layout layout = {0};
	struct weir_net_settings set;
	struct weir_lower *lower;
	int err = settings_check(settings, &set);

	if (!err)
		err = weir_lower_create(file, set.fold, &lower);
	if (err)
		return err;
	err = layout_alloc(lower, &tensors, &nodes);
	if (!err) {
		err = lay_out(lower, &set, tensors, nodes, &layout);
		weir_layout_free(&layout);
		free(tensors);
		free(nodes);
	}
	weir_lower_destroy(lower);
	return err;
}

/* ---- ends ---------------------------------------------------------------------------------------- */

static void end_describe(const struct weir_lower *l, int id, struct weir_net_end *end)
{
	int folded = l->tensors[id].folded;
	const struct weir_tflite_tensor *named = weir_lower_tensor(l, id), *t;

	end->id = folded >= 0 ? folded : id;
	end->root = weir_lower_storage(l, end->id);
	t = weir_lower_tensor(l, end->id);
	snprintf(end->tensor.name, sizeof(end->tensor.name), "%s", named->name);
	end->tensor.type = t->type == WEIR_TFLITE_I8 ? "int8" : "float32";
	end->tensor.n_dims = t->n_dims;
	memcpy(end->tensor.dim, t->dim, sizeof(end->tensor.dim));
	end->tensor.bytes = t->bytes;
	end->tensor.folded = folded >= 0;
	if (t->type == WEIR_TFLITE_I8 && t->n_scales == 1) {
		end->tensor.scale = weir_tflite_scale(t, 0);
		end->tensor.zero = weir_tflite_zero(t, 0);
	}
}

static int ends_make(struct weir_net *net)
{
	const struct weir_tflite *f = net->lower->file;

	net->inputs = calloc(f->n_inputs, sizeof(*net->inputs));
	net->outputs = calloc(f->n_outputs, sizeof(*net->outputs));
	if (!net->inputs || !net->outputs)
		return weir_fail(ENOMEM, "%s: no memory for its inputs and outputs", f->path);
	net->n_inputs = f->n_inputs;
	net->n_outputs = f->n_outputs;
	for (unsigned i = 0; i < f->n_inputs; i++)
		end_describe(net->lower, f->inputs[i], &net->inputs[i]);
	for (unsigned i = 0; i < f->n_outputs; i++)
		end_describe(net->lower, f->outputs[i], &net->outputs[i]);
	return 0;
}

/* ---- making and ending --------------------------------------------------------------------------- */

static int net_prepare(struct weir_net *net, const struct weir_tflite *file)
{
	int err = weir_lower_create(file, net->settings.fold, &net->lower);

	if (!err)
		err = layout_alloc(net->lower, &net->tensors, &net->nodes);
	if (!err)
		err = lay_out(net->lower, &net->settings, net->tensors, net->nodes, &net->layout);
	if (!err)
		err = ends_make(net);
	if (!err)
		err = weir_net_upload(net);
	return err;
}

int weir_net_create(weir_device *dev, const struct weir_tflite *file, const struct weir_net_settings *settings,
	weir_net **out)
{
	struct weir_net_settings set;
	struct weir_net *net;
	int err = settings_check(settings, &set);

	*out = NULL;
	if (err)
		return err;
	net = calloc(1, sizeof(*net));
	if (!net)
		return weir_fail(ENOMEM, "%s: no memory for a network", file->path);
	net->dev = dev;
	net->settings = set;
	err = net_prepare(net, file);
	if (err) {
		weir_net_destroy(net);
		return err;
	}
	*out = net;
	return 0;
}

int weir_net_load(weir_net **out, weir_device *dev, const char *path, const struct weir_net_settings *settings)
{
	struct weir_tflite *file;
	int err = weir_tflite_open(path, &file);

	*out = NULL;
	if (err)
		return err;
	err = weir_net_create(dev, file, settings, out);
	if (err)
		weir_tflite_close(file);
	else
		(*out)->file = file;
	return err;
}

void weir_net_destroy(weir_net *net)
{
	if (!net)
		return;
	weir_net_plan_free(net);
	weir_layout_free(&net->layout);
	free(net->tensors);
	free(net->nodes);
	free(net->inputs);
	free(net->outputs);
	weir_lower_destroy(net->lower);
	weir_tflite_close(net->file);
	free(net);
}

/* ---- description --------------------------------------------------------------------------------- */

unsigned weir_net_inputs(const weir_net *net)
{
	return net->n_inputs;
}

unsigned weir_net_outputs(const weir_net *net)
{
	return net->n_outputs;
}

static const char *net_path(const struct weir_net *net)
{
	return net->lower->file->path;
}

static struct weir_net_end *end_find(const struct weir_net *net, bool output, unsigned i)
{
	unsigned n = output ? net->n_outputs : net->n_inputs;

	if (i < n)
		return &(output ? net->outputs : net->inputs)[i];
	weir_fail(ERANGE, "%s has %u %s%s, no number %u", net_path(net), n, output ? "output" : "input",
		n == 1 ? "" : "s", i);
	return NULL;
}

int weir_net_input(const weir_net *net, unsigned i, struct weir_net_tensor *out)
{
	const struct weir_net_end *end = end_find(net, false, i);

	if (!end)
		return -ERANGE;
	*out = end->tensor;
	return 0;
}

int weir_net_output(const weir_net *net, unsigned i, struct weir_net_tensor *out)
{
	const struct weir_net_end *end = end_find(net, true, i);

	if (!end)
		return -ERANGE;
	*out = end->tensor;
	return 0;
}

void weir_net_info(const weir_net *net, struct weir_net_info *out)
{
	const struct weir_tflite *f = net->lower->file;

	*out = (struct weir_net_info){
		.file_bytes = f->bytes,
		.weight_bytes = net->weight_bytes,
		.macs = net->macs,
		.activation_bytes = net->layout.arena,
		.unshared_bytes = net->layout.unshared,
		.operators = f->n_ops,
		.steps = (unsigned)net->layout.n_steps,
		.whole = net->ran_whole,
		.streamed = (unsigned)net->layout.n_chains,
	};
	snprintf(out->description, sizeof(out->description), "%s", f->description);
}

/* The first node that writes a tensor's bytes, or NULL: the host does. */
static const struct weir_cnn_node *maker(const struct weir_net *net, int tensor)
{
	for (size_t i = 0; i < net->lower->n_nodes; i++) {
		if (weir_lower_storage(net->lower, net->lower->nodes[i].out) == tensor)
			return &net->lower->nodes[i];
	}
	return NULL;
}

int weir_net_block(const weir_net *net, unsigned i, struct weir_net_block *out)
{
	const struct weir_tflite *f = net->lower->file;

	for (unsigned t = 0; t < f->n_tensors; t++) {
		const struct weir_layout_tensor *l = &net->tensors[t];
		const struct weir_cnn_node *made;

		if (net->layout.first[t] < 0 || i--)
			continue;
		made = maker(net, (int)t);
		*out = (struct weir_net_block){
			.at = l->at,
			.bytes = l->ring < l->rows ? (uint64_t)l->ring * l->row_bytes : l->bytes,
			.first = (unsigned)net->layout.first[t],
			.last = (unsigned)net->layout.last[t],
			.rows = (unsigned)l->rows,
			.ring = (unsigned)(l->ring < l->rows ? l->ring : l->rows),
		};
		snprintf(out->name, sizeof(out->name), "%s", f->tensors[t].name);
		snprintf(out->op, sizeof(out->op), "%s", made ? made->label : "input");
		return 0;
	}
	return weir_fail(ERANGE, "%s has fewer tensors in its arena", net_path(net));
}

/* ---- in and out ---------------------------------------------------------------------------------- */

static int end_begin(struct weir_net *net, struct weir_net_end *end, unsigned access, void **bytes)
{
	if (end->bound)
		return weir_buffer_begin(end->bound, end->offset, end->tensor.bytes, access, bytes);
	return weir_buffer_begin(net->arena, net->tensors[end->root].at, end->tensor.bytes, access, bytes);
}

static int end_end(struct weir_net *net, struct weir_net_end *end, void *bytes)
{
	return weir_buffer_end(end->bound ? end->bound : net->arena, bytes);
}

int weir_net_input_begin(weir_net *net, unsigned i, void **bytes)
{
	struct weir_net_end *end = end_find(net, false, i);
	int err;

	if (!end)
		return -ERANGE;
	if (end->open)
		return weir_fail(EBUSY, "%s: input %u is open already", net_path(net), i);
	err = end_begin(net, end, WEIR_ACCESS_WRITE, bytes);
	if (!err)
		end->open = *bytes;
	return err;
}

int weir_net_input_end(weir_net *net, unsigned i)
{
	struct weir_net_end *end = end_find(net, false, i);
	void *open = end ? end->open : NULL;

	if (!end)
		return -ERANGE;
	if (!open)
		return weir_fail(EINVAL, "%s: input %u is not open", net_path(net), i);
	end->open = NULL;
	return end_end(net, end, open);
}

static void quantize(const unsigned char *from, int8_t *to, size_t n, float scale, int32_t zero)
{
	for (size_t i = 0; i < n; i++) {
		float v;

		memcpy(&v, from + i * sizeof(v), sizeof(v));
		to[i] = weir_fixed_quantize(v, scale, zero);
	}
}

int weir_net_input_write(weir_net *net, unsigned i, const void *data, size_t size)
{
	struct weir_net_end *end = end_find(net, false, i);
	bool floats;
	void *to;
	int err;

	if (!end)
		return -ERANGE;
	floats = end->tensor.folded && size == end->tensor.bytes * sizeof(float);
	if (size != end->tensor.bytes && !floats)
		return weir_fail(EINVAL, "%s: input %u (%s) takes %llu bytes, not %zu", net_path(net), i,
			end->tensor.name, (unsigned long long)end->tensor.bytes, size);
	err = weir_net_input_begin(net, i, &to);
	if (err)
		return err;
	if (floats)
		quantize(data, to, end->tensor.bytes, end->tensor.scale, end->tensor.zero);
	else
		memcpy(to, data, size);
	return weir_net_input_end(net, i);
}

int weir_net_output_read(weir_net *net, unsigned i, void *data, size_t size)
{
	struct weir_net_end *end = end_find(net, true, i);
	void *from;
	int err;

	if (!end)
		return -ERANGE;
	if (size != end->tensor.bytes)
		return weir_fail(EINVAL, "%s: output %u (%s) has %llu bytes, not %zu", net_path(net), i,
			end->tensor.name, (unsigned long long)end->tensor.bytes, size);
	err = end_begin(net, end, WEIR_ACCESS_READ, &from);
	if (err)
		return err;
	memcpy(data, from, size);
	return end_end(net, end, from);
}

static int end_bind(struct weir_net *net, bool output, unsigned i, weir_buffer *buffer, size_t offset)
{
	struct weir_net_end *end = end_find(net, output, i);
	const char *what = output ? "output" : "input";
	unsigned bound = 0;
	size_t last;

	if (!end)
		return -ERANGE;
	if (end->open)
		return weir_fail(EBUSY, "%s: %s %u is open", net_path(net), what, i);
	for (unsigned j = 0; j < net->n_inputs; j++)
		bound += net->inputs[j].bound != NULL;
	for (unsigned j = 0; j < net->n_outputs; j++)
		bound += net->outputs[j].bound != NULL;
	if (buffer && !end->bound && bound == WEIR_NET_BOUND)
		return weir_fail(ENOSPC, "%s: %d inputs and outputs are bound already, and no more can be",
			net_path(net), WEIR_NET_BOUND);
	if (buffer && (offset % 16 || !weir_size_add(offset, end->tensor.bytes, &last) ||
			      last > weir_buffer_size(buffer) || last > INT32_MAX))
		return weir_fail(EINVAL, "%s: %s %u takes %llu bytes from a multiple of 16 on: they are not in the buffer "
					 "of %zu bytes from %zu on", net_path(net), what, i,
			(unsigned long long)end->tensor.bytes, weir_buffer_size(buffer), offset);
	end->bound = buffer;
	end->offset = buffer ? offset : 0;
	weir_net_plan_drop(net);
	return 0;
}

int weir_net_input_bind(weir_net *net, unsigned i, weir_buffer *buffer, size_t offset)
{
	return end_bind(net, false, i, buffer, offset);
}

int weir_net_output_bind(weir_net *net, unsigned i, weir_buffer *buffer, size_t offset)
{
	return end_bind(net, true, i, buffer, offset);
}

int weir_net_run(weir_net *net)
{
	for (unsigned i = 0; i < net->n_inputs; i++) {
		if (net->inputs[i].open)
			return weir_fail(EBUSY, "%s: input %u is open", net_path(net), i);
	}
	return weir_net_plan_run(net);
}
