/* SPDX-License-Identifier: MIT */
/* Reads the bytes of a TFLite file into a description: the model, its first subgraph, its tensors and
 * operators. */
#include "format/tflite_parse.h"

/* Far more than any network has; keeps the description of a hostile file, 50 times as large as it, from
 * filling memory. */
#define TENSORS_MAX (1u << 20)
#define OPS_MAX (1u << 20)

#define SCHEMA_VERSION 3

/* Slots of the schema's tables. */
enum { MODEL_VERSION, MODEL_CODES, MODEL_SUBGRAPHS, MODEL_DESCRIPTION, MODEL_BUFFERS };
enum { GRAPH_TENSORS, GRAPH_INPUTS, GRAPH_OUTPUTS, GRAPH_OPS };

const char *weir_tflite_who(const struct weir_tflite *f, int tensor, char who[WEIR_TFLITE_WHO])
{
	const char *name = f->tensors[tensor].name;

	snprintf(who, WEIR_TFLITE_WHO, *name ? "tensor %d (%s)" : "tensor %d", tensor, name);
	return who;
}

int weir_tflite_read_numbers(struct weir_tflite_reader *r, const struct weir_flat_vector *v,
	const char *what, bool absent, int32_t *out)
{
	const unsigned n = r->file->pub.n_tensors;

	for (uint32_t i = 0; i < v->count; i++) {
		const int32_t tensor = weir_flat_get_i32(r->flat.data + v->at + 4 * (size_t)i);

		if (!(absent && tensor == -1) && (tensor < 0 || (uint32_t)tensor >= n))
			return weir_fail(EINVAL, "%s %u is tensor %d, but there are %u tensors", what, i,
				tensor, n);
		out[i] = tensor;
	}
	return 0;
}

static int read_header(struct weir_flat *b, struct weir_flat_table *model)
{
	uint32_t version;

	if (!b->size)
		return weir_fail(EINVAL, "it is empty");
	if (b->size < 8 || memcmp(b->data + 4, "TFL3", 4))
		return weir_fail(EINVAL, "it is no TFLite file: it has no TFL3 at byte 4");
	if (!weir_flat_root(b, model))
		return b->err;
	version = weir_flat_u32(b, model, MODEL_VERSION);
	if (!b->err && version != SCHEMA_VERSION)
		return weir_fail(ENOTSUP, "it has version %u of TFLite's schema; Weir reads version %d",
			version, SCHEMA_VERSION);
	return b->err;
}

static int read_graph(struct weir_tflite_reader *r, const struct weir_flat_table *model)
{
	struct weir_flat *b = &r->flat;
	struct weir_flat_vector graphs;
	struct weir_flat_table graph;

	weir_flat_string(b, model, MODEL_DESCRIPTION, "its description", r->file->pub.description,
		sizeof(r->file->pub.description));
	weir_flat_vector(b, model, MODEL_CODES, 4, "its list of operator codes", &r->codes);
	weir_flat_vector(b, model, MODEL_BUFFERS, 4, "its list of buffers", &r->buffers);
	weir_flat_vector(b, model, MODEL_SUBGRAPHS, 4, "its list of subgraphs", &graphs);
	if (b->err)
		return b->err;
	if (!graphs.count)
		return weir_fail(EINVAL, "it has no subgraph");
	if (!weir_flat_element(b, &graphs, 0, &graph))
		return weir_fail_in(b->err, "subgraph 0");
	weir_flat_vector(b, &graph, GRAPH_TENSORS, 4, "its list of tensors", &r->tensors);
	weir_flat_vector(b, &graph, GRAPH_OPS, 4, "its list of operators", &r->ops);
	weir_flat_vector(b, &graph, GRAPH_INPUTS, 4, "its list of inputs", &r->inputs);
	weir_flat_vector(b, &graph, GRAPH_OUTPUTS, 4, "its list of outputs", &r->outputs);
	if (b->err)
		return weir_fail_in(b->err, "subgraph 0");
	return 0;
}

static int check_counts(const struct weir_tflite_reader *r)
{
	if (!r->ops.count)
		return weir_fail(EINVAL, "it has no operators");
	if (!r->inputs.count || !r->outputs.count)
		return weir_fail(EINVAL, "it has no %s", r->inputs.count ? "outputs" : "inputs");
	if (r->tensors.count > TENSORS_MAX || r->ops.count > OPS_MAX)
		return weir_fail(EFBIG, "it has %u tensors and %u operators; Weir reads up to %u and %u",
			r->tensors.count, r->ops.count, TENSORS_MAX, OPS_MAX);
	return 0;
}

static int read_tensors(struct weir_tflite_reader *r)
{
	struct weir_tflite_file *f = r->file;
	struct weir_flat_table t;
	char who[WEIR_TFLITE_WHO];
	int err;

	f->tensors = calloc(r->tensors.count, sizeof(*f->tensors));
	if (!f->tensors && r->tensors.count)
		return weir_fail(ENOMEM, "no memory for %u tensors", r->tensors.count);
	f->pub.tensors = f->tensors;
	for (uint32_t i = 0; i < r->tensors.count; i++) {
		if (weir_flat_element(&r->flat, &r->tensors, i, &t))
			err = weir_tflite_read_tensor(r, &t, &f->tensors[i]);
		else
			err = r->flat.err;
		if (err)
			return weir_fail_in(err, "%s", weir_tflite_who(&f->pub, (int)i, who));
	}
	f->pub.n_tensors = r->tensors.count;
	return 0;
}

/* "operator 3 (CONV_2D)"; before its code is known, the number alone. */
static int fail_op(int err, uint32_t i, const struct weir_tflite_op *op)
{
	if (op->code < 0)
		return weir_fail_in(err, "operator %u", i);
	return weir_fail_in(err, "operator %u (%s)", i, weir_tflite_code_name(op->code));
}

static int read_ops(struct weir_tflite_reader *r)
{
	struct weir_tflite_file *f = r->file;
	struct weir_flat_table t;
	int err;

	f->ops = calloc(r->ops.count, sizeof(*f->ops));
	if (!f->ops)
		return weir_fail(ENOMEM, "no memory for %u operators", r->ops.count);
	f->pub.ops = f->ops;
	for (uint32_t i = 0; i < r->ops.count; i++) {
		struct weir_tflite_op *op = &f->ops[f->pub.n_ops++];

		op->code = -1;
		if (weir_flat_element(&r->flat, &r->ops, i, &t))
			err = weir_tflite_read_op(r, &t, op);
		else
			err = r->flat.err;
		if (err)
			return fail_op(err, i, op);
	}
	return 0;
}

static int read_ends(struct weir_tflite_reader *r)
{
	struct weir_tflite_file *f = r->file;
	const size_t count = (size_t)r->inputs.count + r->outputs.count;
	int err;

	if (!weir_flat_walk(&r->flat, &r->inputs, 4, "its list of inputs") ||
		!weir_flat_walk(&r->flat, &r->outputs, 4, "its list of outputs"))
		return r->flat.err;
	f->ends = calloc(count, sizeof(*f->ends));
	if (!f->ends)
		return weir_fail(ENOMEM, "no memory for %zu inputs and outputs", count);
	f->pub.inputs = f->ends;
	f->pub.outputs = f->ends + r->inputs.count;
	err = weir_tflite_read_numbers(r, &r->inputs, "input", false, f->ends);
	if (!err)
		err = weir_tflite_read_numbers(
			r, &r->outputs, "output", false, f->ends + r->inputs.count);
	f->pub.n_inputs = r->inputs.count;
	f->pub.n_outputs = r->outputs.count;
	return err;
}

int weir_tflite_read(struct weir_tflite_file *f, const void *data, size_t size)
{
	struct weir_tflite_reader r = {.file = f};
	struct weir_flat_table model;
	int err;

	weir_flat_init(&r.flat, data, size);
	f->pub.data = data;
	f->pub.bytes = size;
	err = read_header(&r.flat, &model);
	if (!err)
		err = read_graph(&r, &model);
	if (!err)
		err = check_counts(&r);
	if (!err)
		err = read_tensors(&r);
	if (!err)
		err = read_ops(&r);
	if (!err)
		err = read_ends(&r);
	return err ? err : weir_tflite_check_order(&f->pub);
}
