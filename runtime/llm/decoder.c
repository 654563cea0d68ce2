/* SPDX-License-Identifier: MIT */
/* Records a Llama-like decoder (Touvron et al. 2023; Qwen 2 and 3 with biases and q/k norms) as ops. */
#include "llm/decoder.h"

/* Takes size bytes at *at, and moves it to the next aligned offset. */
static size_t take(size_t *at, size_t size, size_t align)
{
	size_t offset = *at;

	*at = weir_align_up(*at + size, align);
	return offset;
}

static void inputs_layout(struct weir_decoder_inputs *in, unsigned width, unsigned n_rot, size_t *at, size_t align)
{
	in->width = width;
	in->begin = *at;
	in->step = take(at, sizeof(struct weir_step), align);
	in->token = take(at, width * sizeof(int32_t), align);
	in->slot = take(at, width * sizeof(int32_t), align);
	in->seen = take(at, width * sizeof(int32_t), align);
	in->rope = take(at, (size_t)width * 2 * n_rot * sizeof(float), align);
	in->size = *at - in->begin;
}

void weir_decoder_layout(const weir_model *m, unsigned width, struct weir_decoder_io *io)
{
	const struct weir_params *p = &m->params;
	size_t align = weir_device_props(m->dev)->align, at = 0;

	inputs_layout(&io->one, 1, p->n_rot, &at, align);
	inputs_layout(&io->many, width, p->n_rot, &at, align);
	io->hidden = take(&at, (size_t)width * p->dim * sizeof(float), align);
	io->logits = take(&at, (size_t)p->vocab * sizeof(float), align);
	io->size = at;
	weir_kv_layout(&io->shape, align, &io->layer);
}

/* What building a part needs at hand. */
struct build {
	const weir_model *m;
	const struct weir_decoder_io *io;
	struct weir_graph *g;
	struct weir_step_tensors step;
};

static struct weir_tensor *io_tensor(const struct build *b, const char *name, size_t offset, size_t size)
{
	return weir_graph_bind(b->g, name, b->io->io, offset, size);
}

static struct weir_tensor *vector(const struct build *b, const char *name, const struct weir_vector *v)
{
	if (!v->n)
		return NULL;
	return weir_graph_bind(b->g, name, v->buffer, v->offset, v->n * sizeof(float));
}

static struct weir_tensor *floats(const struct build *b, const char *name, size_t columns)
{
	return weir_graph_tensor(b->g, name, (size_t)b->step.width * columns * sizeof(float));
}

/* Rows in the forms that the linear's parts take. */
static struct weir_rows_out rows_for(const struct build *b, const char *name, unsigned width,
	const struct weir_linear *l, bool fine)
{
	struct weir_rows_out out = {.fine = fine};

	for (unsigned i = 0; i < l->parts; i++) {
		const struct weir_plane_format *f = &l->part[i].layout.format;

		if (weir_plane_is_float(f)) {
			if (!out.f32)
				out.f32 = weir_graph_tensor(b->g, name, (size_t)width * l->k * sizeof(float));
		} else if (f->row_act) {
			if (!out.rows8)
				out.rows8 = weir_graph_tensor(
					b->g, name, weir_packed_size(width, l->k, false));
		} else if (!out.packed) {
			out.packed = weir_graph_tensor(b->g, name, weir_packed_size(width, l->k, fine));
		}
	}
	return out;
}

static void linear(const struct build *b, const char *label, const struct weir_linear *l,
	struct weir_rows_out x, unsigned width, struct weir_tensor *y, unsigned flags)
{
	for (unsigned i = 0; i < l->parts; i++)
		weir_op_matmul(b->g, &b->step, label, &l->part[i], x, width, y, l->rows, l->first[i],
			vector(b, "bias", &l->bias[i]), flags | (i ? WEIR_MATMUL_BESIDE : 0));
}

static void attention(const struct build *b, const struct weir_layer *l, unsigned index, struct weir_tensor *x)
{
	const struct weir_params *p = &b->m->params;
	const struct weir_attention_shape *shape = &b->io->shape;
	size_t q_columns = (size_t)p->heads * p->head_dim;
	struct weir_tensor *qkv = floats(b, "qkv", l->qkv.rows);
	struct weir_tensor *q = floats(b, "q", q_columns * (shape->two_queries ? 2 : 1));
	struct weir_tensor *kv = weir_graph_bind(b->g, "kv", b->io->kv, index * b->io->layer.size,
		b->io->layer.size);
	struct weir_rows_out in = rows_for(b, "attn in", b->step.width, &l->qkv, false);
	struct weir_rows_out mixed = rows_for(b, "attn mixed", b->step.width, &l->attn_out, false);

	weir_op_rmsnorm(b->g, &b->step, x, vector(b, "attn norm", &l->attn_norm), p->dim, p->eps, in);
	linear(b, "qkv", &l->qkv, in, b->step.width, qkv, 0);
	weir_op_rope_store(b->g, &b->step, shape, qkv, vector(b, "q norm", &l->q_norm),
		vector(b, "k norm", &l->k_norm), p->eps, q, kv);
	weir_op_attention(b->g, &b->step, shape, q, kv, mixed);
	linear(b, "attn out", &l->attn_out, mixed, b->step.width, x, WEIR_MATMUL_ADD);
}

static void feed_forward(const struct build *b, const struct weir_layer *l, struct weir_tensor *x)
{
	const struct weir_params *p = &b->m->params;
	struct weir_rows_out in = rows_for(b, "ffn in", b->step.width, &l->gate_up, false);
	struct weir_tensor *gate_up = floats(b, "gate up", l->gate_up.rows);
	struct weir_rows_out gated = rows_for(b, "ffn gated", b->step.width, &l->down, false);

	weir_op_rmsnorm(b->g, &b->step, x, vector(b, "ffn norm", &l->ffn_norm), p->dim, p->eps, in);
	linear(b, "gate up", &l->gate_up, in, b->step.width, gate_up, 0);
	weir_op_silu_gate(b->g, &b->step, gate_up, p->ff, gated);
	linear(b, "down", &l->down, gated, b->step.width, x, WEIR_MATMUL_ADD);
}

static void head(const struct build *b, struct weir_tensor *x, unsigned out_width, struct weir_tensor *logits)
{
	const struct weir_linear *l = weir_model_head(b->m);
	struct weir_rows_out in = rows_for(b, "head in", out_width, l, true);

	weir_op_rmsnorm_out(b->g, &b->step, x, vector(b, "out norm", &b->m->out_norm), b->m->params.dim,
		b->m->params.eps, out_width, in);
	linear(b, "head", l, in, out_width, logits, WEIR_MATMUL_OUT);
}

int weir_decoder_build(const weir_model *m, const struct weir_decoder_io *io, enum weir_decoder_part part,
	struct weir_buffer *logits, struct weir_graph **graph, struct weir_plan **plan,
	size_t *head_at)
{
	const struct weir_params *p = &m->params;
	struct build b = {.m = m, .io = io};
	const struct weir_decoder_inputs *in = part == WEIR_DECODER_STEP ? &io->one : &io->many;
	unsigned width = in->width;
	size_t row = (size_t)p->vocab * sizeof(float);
	struct weir_tensor *x;
	int err = weir_graph_create(m->dev, &b.g);

	if (err)
		return err;
	b.step = (struct weir_step_tensors){
		.step = io_tensor(&b, "step", in->step, sizeof(struct weir_step)),
		.token = io_tensor(&b, "token", in->token, width * sizeof(int32_t)),
		.slot = io_tensor(&b, "slot", in->slot, width * sizeof(int32_t)),
		.seen = io_tensor(&b, "seen", in->seen, width * sizeof(int32_t)),
		.rope = io_tensor(&b, "rope", in->rope, (size_t)width * 2 * p->n_rot * sizeof(float)),
		.width = width,
	};
	x = io_tensor(&b, "hidden", io->hidden, (size_t)width * p->dim * sizeof(float));
	if (part == WEIR_DECODER_STEP || part == WEIR_DECODER_FILL) {
		weir_op_embed(b.g, &b.step, &m->embed.part[0], x);
		for (unsigned i = 0; i < p->layers; i++) {
			attention(&b, &m->layers[i], i, x);
			feed_forward(&b, &m->layers[i], x);
		}
	}
	*head_at = weir_graph_count(b.g);
	if (part == WEIR_DECODER_STEP || part == WEIR_DECODER_FILL)
		head(&b, x, 1, io_tensor(&b, "logits", io->logits, row));
	if (part == WEIR_DECODER_HEADS)
		head(&b, x, WEIR_HEADS, weir_graph_bind(b.g, "logits", logits, 0, WEIR_HEADS * row));
	err = weir_graph_plan(b.g, plan);
	if (err) {
		weir_graph_destroy(b.g);
		return err;
	}
	*graph = b.g;
	return 0;
}
