/* SPDX-License-Identifier: MIT */
/* A decoder layer in floats: its memory on the device, its graphs, and runs of a block of tokens. */
#include "base/base.h"
#include "llm/quantize_net.h"
#include "llm/step.h"

struct weir_quant_span weir_quant_span_take(weir_device *dev, size_t *total, size_t size)
{
	struct weir_quant_span s = {*total, size};

	*total = weir_align_up(*total + size, weir_device_props(dev)->align);
	return s;
}

int weir_quant_put(struct weir_buffer *b, size_t offset, const float *values, size_t n)
{
	void *at;
	int err = weir_buffer_begin(b, offset, n * sizeof(float), WEIR_ACCESS_WRITE, &at);

	if (err)
		return err;
	memcpy(at, values, n * sizeof(float));
	return weir_buffer_end(b, at);
}

int weir_quant_get(struct weir_buffer *b, size_t offset, float *values, size_t n)
{
	void *at;
	int err = weir_buffer_begin(b, offset, n * sizeof(float), WEIR_ACCESS_READ, &at);

	if (err)
		return err;
	memcpy(values, at, n * sizeof(float));
	return weir_buffer_end(b, at);
}

struct pack_rows {
	const struct weir_plane_layout *layout;
	const float *w;
	void *dst;
};

static int pack_rows(void *user, size_t begin, size_t end)
{
	const struct pack_rows *p = user;

	weir_plane_pack(p->layout, p->dst, WEIR_TYPE_F32, p->w + begin * p->layout->k, begin, end - begin);
	return 0;
}

int weir_quant_pack(const struct weir_plane_layout *layout, const float *w, void *dst)
{
	struct pack_rows p = {layout, w, dst};

	return weir_parallel(0, layout->rows, 4 * WEIR_PLANE_ROWS, pack_rows, &p);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static int buffer_make(struct weir_quant_net *net, size_t size, const char *name, struct weir_buffer **out)
{
	net->bytes += size;
	return weir_buffer_create(net->dev, size, name, out);
}

static int weights_make(struct weir_quant_net *net)
{
	static const struct weir_plane_format format = {.base = WEIR_PLANE_F32};
	static const char *const names[WEIR_QUANT_LINEARS] = {"float qkv", "float out", "float gate up", "float down"};
	size_t total = 0;
	int err = 0;

	for (unsigned i = 0; i < WEIR_QUANT_LINEARS && !err; i++) {
		const struct weir_quant_matrix *h = &net->layer->linear[i];
		struct weir_matrix *m = &net->matrix[i];

		err = weir_plane_layout(&format, h->rows, h->k, weir_device_props(net->dev)->align, &m->layout);
		m->name = names[i];
		m->offset = weir_quant_span_take(net->dev, &total, m->layout.size).offset;
		if (h->bias)
			net->bias[i] = weir_quant_span_take(net->dev, &total, h->rows * sizeof(float));
	}
	for (unsigned i = 0; i < WEIR_QUANT_NORMS; i++)
		if (net->layer->norm[i])
			net->norm[i] = weir_quant_span_take(
				net->dev, &total, net->layer->norm_size[i] * sizeof(float));
	if (!err)
		err = buffer_make(net, total, "a layer's weights", &net->weights);
	for (unsigned i = 0; i < WEIR_QUANT_LINEARS; i++)
		net->matrix[i].buffer = net->weights;
	return err;
}

size_t weir_quant_columns(const struct weir_quant_net *net, enum weir_quant_act act)
{
	const struct weir_quant_matrix *m = net->layer->linear;

	switch (act) {
	case WEIR_QUANT_ACT_QKV:
		return m[WEIR_QUANT_QKV].rows;
	case WEIR_QUANT_ACT_QUERY:
	case WEIR_QUANT_ACT_MIXED:
		return m[WEIR_QUANT_OUT].k;
	case WEIR_QUANT_ACT_GATE_UP:
		return m[WEIR_QUANT_GATE_UP].rows;
	case WEIR_QUANT_ACT_GATED:
		return m[WEIR_QUANT_DOWN].k;
	case WEIR_QUANT_ACT_TRY_ROW:
		return WEIR_MAX(m[WEIR_QUANT_OUT].k, m[WEIR_QUANT_DOWN].k);
	default:
		return net->layer->params->dim;
	}
}

static int acts_make(struct weir_quant_net *net)
{
	size_t total = 0, dim = net->layer->params->dim;

	for (unsigned i = 0; i < WEIR_QUANT_ACTS; i++) {
		size_t size = (size_t)net->width * weir_quant_columns(net, i) * sizeof(float);

		if (i == WEIR_QUANT_ACT_PACKED)
			size = WEIR_MAX(weir_packed_size(net->width, dim, true),
				weir_packed_size(net->width, dim, false));
		net->act[i] = weir_quant_span_take(net->dev, &total, size);
	}
	return buffer_make(net, total, "a block's activations", &net->acts);
}

static int kv_make(struct weir_quant_net *net)
{
	const struct weir_params *p = net->layer->params;
	struct weir_kv_layout layout;

	net->shape = (struct weir_attention_shape){
		.heads = p->heads,
		.kv_heads = p->kv_heads,
		.head_dim = p->head_dim,
		.n_rot = p->n_rot,
		.slots = (unsigned)weir_align_up(net->width, 64),
		.kv = WEIR_KV_F32,
		.rope = p->rope,
	};
	weir_kv_layout(&net->shape, weir_device_props(net->dev)->align, &layout);
	return buffer_make(net, layout.size, "a block's keys and values", &net->kv);
}

/* Every block begins at position 0. */
static int step_make(struct weir_quant_net *net)
{
	size_t total = 0, ints = net->width * sizeof(int32_t);
	struct weir_slots slots;
	char *base;
	int err;

	net->step_at = weir_quant_span_take(net->dev, &total, sizeof(struct weir_step));
	net->token_at = weir_quant_span_take(net->dev, &total, ints);
	net->slot_at = weir_quant_span_take(net->dev, &total, ints);
	net->seen_at = weir_quant_span_take(net->dev, &total, ints);
	net->rope_at = weir_quant_span_take(
		net->dev, &total, (size_t)net->width * 2 * net->shape.n_rot * sizeof(float));
	err = buffer_make(net, total, "a block's step", &net->step);
	if (!err)
		err = weir_buffer_begin(net->step, 0, total, WEIR_ACCESS_WRITE, (void **)&base);
	if (err)
		return err;
	memset(base, 0, total);
	weir_slots_init(&slots, net->width, 0, 0, net->width);
	weir_step_fill(&slots, net->layer->params, 0, net->width, (struct weir_step *)(base + net->step_at.offset),
		(int32_t *)(base + net->slot_at.offset), (int32_t *)(base + net->seen_at.offset),
		(float *)(base + net->rope_at.offset));
	return weir_buffer_end(net->step, base);
}

/* ---- graphs ---------------------------------------------------------------------------------- */

static struct weir_tensor *bind(struct weir_graph *g, const char *name, struct weir_buffer *b, struct weir_quant_span s)
{
	return weir_graph_bind(g, name, b, s.offset, s.size);
}

struct weir_tensor *weir_quant_net_act(const struct weir_quant_net *net, struct weir_graph *g, enum weir_quant_act act)
{
	return bind(g, "activations", net->acts, net->act[act]);
}

void weir_quant_net_step(const struct weir_quant_net *net, struct weir_graph *g, struct weir_step_tensors *s)
{
	*s = (struct weir_step_tensors){
		.step = bind(g, "step", net->step, net->step_at),
		.token = bind(g, "token", net->step, net->token_at),
		.slot = bind(g, "slot", net->step, net->slot_at),
		.seen = bind(g, "seen", net->step, net->seen_at),
		.rope = bind(g, "rope", net->step, net->rope_at),
		.width = net->width,
	};
}

struct weir_tensor *weir_quant_net_bias(
	const struct weir_quant_net *net, struct weir_graph *g, enum weir_quant_linear linear)
{
	return net->bias[linear].size ? bind(g, "bias", net->weights, net->bias[linear]) : NULL;
}

static struct weir_tensor *norm(const struct weir_quant_net *net, struct weir_graph *g, unsigned i)
{
	return net->norm[i].size ? bind(g, "norm", net->weights, net->norm[i]) : NULL;
}

static void matmul(const struct weir_quant_net *net, struct weir_graph *g, const struct weir_step_tensors *s,
	const char *label, enum weir_quant_linear linear, const struct weir_matrix *m, struct weir_rows_out in,
	enum weir_quant_act out)
{
	weir_op_matmul(g, s, label, m, in, net->width, weir_quant_net_act(net, g, out), m->layout.rows, 0,
		weir_quant_net_bias(net, g, linear), 0);
}

void weir_quant_net_attention(const struct weir_quant_net *net, struct weir_graph *g,
	const struct weir_step_tensors *s, const struct weir_matrix *m, struct weir_rows_out in,
	enum weir_quant_act row, enum weir_quant_act out)
{
	struct weir_tensor *query = weir_quant_net_act(net, g, WEIR_QUANT_ACT_QUERY);
	struct weir_tensor *kv = weir_graph_bind(g, "kv", net->kv, 0, weir_buffer_size(net->kv));
	struct weir_rows_out mixed = {.f32 = weir_quant_net_act(net, g, row)};

	matmul(net, g, s, "qkv", WEIR_QUANT_QKV, m, in, WEIR_QUANT_ACT_QKV);
	weir_op_rope_store(g, s, &net->shape, weir_quant_net_act(net, g, WEIR_QUANT_ACT_QKV),
		norm(net, g, WEIR_QUANT_Q_NORM), norm(net, g, WEIR_QUANT_K_NORM), net->layer->params->eps, query,
		kv);
	weir_op_attention(g, s, &net->shape, query, kv, mixed);
	matmul(net, g, s, "out", WEIR_QUANT_OUT, &net->matrix[WEIR_QUANT_OUT], mixed, out);
}

void weir_quant_net_ffn(const struct weir_quant_net *net, struct weir_graph *g, const struct weir_step_tensors *s,
	const struct weir_matrix *m, struct weir_rows_out in, enum weir_quant_act row, enum weir_quant_act out)
{
	struct weir_rows_out gated = {.f32 = weir_quant_net_act(net, g, row)};

	matmul(net, g, s, "gate up", WEIR_QUANT_GATE_UP, m, in, WEIR_QUANT_ACT_GATE_UP);
	weir_op_silu_gate(g, s, weir_quant_net_act(net, g, WEIR_QUANT_ACT_GATE_UP), net->layer->params->ff, gated);
	matmul(net, g, s, "down", WEIR_QUANT_DOWN, &net->matrix[WEIR_QUANT_DOWN], gated, out);
}

static int graphs_make(struct weir_quant_net *net)
{
	const struct weir_params *p = net->layer->params;
	struct weir_step_tensors s;
	struct weir_rows_out in = {0};
	int err = weir_graph_create(net->dev, &net->attn_graph);

	if (!err)
		err = weir_graph_create(net->dev, &net->ffn_graph);
	if (err)
		return err;
	weir_quant_net_step(net, net->attn_graph, &s);
	in.f32 = weir_quant_net_act(net, net->attn_graph, WEIR_QUANT_ACT_ATTN_IN);
	weir_op_rmsnorm(net->attn_graph, &s, weir_quant_net_act(net, net->attn_graph, WEIR_QUANT_ACT_X),
		norm(net, net->attn_graph, WEIR_QUANT_ATTN_NORM), p->dim, p->eps, in);
	weir_quant_net_attention(net, net->attn_graph, &s, &net->matrix[WEIR_QUANT_QKV], in, WEIR_QUANT_ACT_MIXED,
		WEIR_QUANT_ACT_ATTN_DIFF);
	weir_quant_net_step(net, net->ffn_graph, &s);
	in.f32 = weir_quant_net_act(net, net->ffn_graph, WEIR_QUANT_ACT_FFN_IN);
	weir_op_rmsnorm(net->ffn_graph, &s, weir_quant_net_act(net, net->ffn_graph, WEIR_QUANT_ACT_MID),
		norm(net, net->ffn_graph, WEIR_QUANT_FFN_NORM), p->dim, p->eps, in);
	weir_quant_net_ffn(net, net->ffn_graph, &s, &net->matrix[WEIR_QUANT_GATE_UP], in, WEIR_QUANT_ACT_GATED,
		WEIR_QUANT_ACT_FFN_DIFF);
	err = weir_graph_plan(net->attn_graph, &net->attn);
	return err ? err : weir_graph_plan(net->ffn_graph, &net->ffn);
}

int weir_quant_net_create(
	weir_device *dev, const struct weir_quant_layer *layer, unsigned width, struct weir_quant_net *net)
{
	int err;

	memset(net, 0, sizeof(*net));
	net->dev = dev;
	net->layer = layer;
	net->width = width;
	if ((err = weights_make(net)) || (err = acts_make(net)) || (err = kv_make(net)) || (err = step_make(net)))
		return err;
	return graphs_make(net);
}

void weir_quant_net_destroy(struct weir_quant_net *net)
{
	weir_graph_destroy(net->attn_graph);
	weir_graph_destroy(net->ffn_graph);
	weir_buffer_destroy(net->weights);
	weir_buffer_destroy(net->acts);
	weir_buffer_destroy(net->kv);
	weir_buffer_destroy(net->step);
	memset(net, 0, sizeof(*net));
}

/* ---- a layer, and a block through it ---------------------------------------------------------- */

int weir_quant_net_load(struct weir_quant_net *net)
{
	size_t size = weir_buffer_size(net->weights);
	char *base;
	int err = weir_buffer_begin(net->weights, 0, size, WEIR_ACCESS_WRITE, (void **)&base);

	if (err)
		return err;
	for (unsigned i = 0; i < WEIR_QUANT_LINEARS && !err; i++) {
		const struct weir_quant_matrix *h = &net->layer->linear[i];

		err = weir_quant_pack(&net->matrix[i].layout, h->w, base + net->matrix[i].offset);
		if (h->bias)
			memcpy(base + net->bias[i].offset, h->bias, net->bias[i].size);
	}
	for (unsigned i = 0; i < WEIR_QUANT_NORMS; i++)
		if (net->norm[i].size)
			memcpy(base + net->norm[i].offset, net->layer->norm[i], net->norm[i].size);
	if (err) {
		weir_buffer_end(net->weights, base);
		return err;
	}
	return weir_buffer_end(net->weights, base);
}

int weir_quant_net_read(struct weir_quant_net *net, enum weir_quant_act act, unsigned first, unsigned n, float *out)
{
	size_t columns = weir_quant_columns(net, act);

	return weir_quant_get(
		net->acts, net->act[act].offset + first * columns * sizeof(float), out, n * columns);
}

/* out = x + an activation of the device's. */
static int residual(struct weir_quant_net *net, const float *x, enum weir_quant_act diff, float *out)
{
	size_t n = (size_t)net->width * net->layer->params->dim;
	const float *d;
	int err = weir_buffer_begin(
		net->acts, net->act[diff].offset, n * sizeof(float), WEIR_ACCESS_READ, (void **)&d);

	if (err)
		return err;
	for (size_t i = 0; i < n; i++)
		out[i] = x[i] + d[i];
	return weir_buffer_end(net->acts, (void *)d);
}

/* The sum after attention, which is what the feed-forward network norms. */
static int middle(struct weir_quant_net *net, const float *x)
{
	size_t n = (size_t)net->width * net->layer->params->dim;
	void *mid;
	int err = weir_buffer_begin(
		net->acts, net->act[WEIR_QUANT_ACT_MID].offset, n * sizeof(float), WEIR_ACCESS_WRITE, &mid);

	if (err)
		return err;
	err = residual(net, x, WEIR_QUANT_ACT_ATTN_DIFF, mid);
	if (err) {
		weir_buffer_end(net->acts, mid);
		return err;
	}
	return weir_buffer_end(net->acts, mid);
}

static int last(struct weir_quant_net *net, float *out)
{
	size_t n = (size_t)net->width * net->layer->params->dim;
	const float *mid;
	int err = weir_buffer_begin(net->acts, net->act[WEIR_QUANT_ACT_MID].offset, n * sizeof(float),
		WEIR_ACCESS_READ, (void **)&mid);

	if (err)
		return err;
	err = residual(net, mid, WEIR_QUANT_ACT_FFN_DIFF, out);
	if (err) {
		weir_buffer_end(net->acts, (void *)mid);
		return err;
	}
	return weir_buffer_end(net->acts, (void *)mid);
}

int weir_quant_net_run(struct weir_quant_net *net, const float *x, float *out)
{
	size_t n = (size_t)net->width * net->layer->params->dim;
	int err;

	if ((err = weir_quant_put(net->acts, net->act[WEIR_QUANT_ACT_X].offset, x, n)) ||
		(err = weir_plan_run(net->attn, net->width)) || (err = middle(net, x)) ||
		(err = weir_plan_run(net->ffn, net->width)))
		return err;
	return out ? last(net, out) : 0;
}
