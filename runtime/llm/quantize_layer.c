/* SPDX-License-Identifier: MIT */
/* Reads a decoder layer out of a checkpoint as floats. */
#include "base/base.h"
#include "llm/quantize_layer.h"

const char *const weir_quant_norm_names[WEIR_QUANT_NORMS] = {
	[WEIR_QUANT_ATTN_NORM] = "blk.%u.attn_norm.weight",
	[WEIR_QUANT_FFN_NORM] = "blk.%u.ffn_norm.weight",
	[WEIR_QUANT_Q_NORM] = "blk.%u.attn_q_norm.weight",
	[WEIR_QUANT_K_NORM] = "blk.%u.attn_k_norm.weight",
};

static const char *const piece_names[WEIR_QUANT_PIECES] = {
	[WEIR_QUANT_Q] = "blk.%u.attn_q.weight",
	[WEIR_QUANT_K] = "blk.%u.attn_k.weight",
	[WEIR_QUANT_V] = "blk.%u.attn_v.weight",
	[WEIR_QUANT_O] = "blk.%u.attn_output.weight",
	[WEIR_QUANT_GATE] = "blk.%u.ffn_gate.weight",
	[WEIR_QUANT_UP] = "blk.%u.ffn_up.weight",
	[WEIR_QUANT_D] = "blk.%u.ffn_down.weight",
};

static void layer_name(const char *format, unsigned index, char *name, size_t size)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(name, size, format, index);
#pragma GCC diagnostic pop
}

const struct weir_checkpoint_tensor *weir_quant_tensor(
	const struct weir_checkpoint *in, const char *name, unsigned index)
{
	char full[64];

	layer_name(name, index, full, sizeof(full));
	return weir_checkpoint_tensor(in, full);
}

const struct weir_checkpoint_tensor *weir_quant_bias(
	const struct weir_checkpoint *in, const struct weir_quant_piece *piece, unsigned index)
{
	char name[64];

	snprintf(name, sizeof(name), "%.*sbias", (int)(strlen(piece->name) - strlen("weight")), piece->name);
	return weir_quant_tensor(in, name, index);
}

static void piece_set(struct weir_quant_layer *l, unsigned i, enum weir_quant_linear linear, size_t rows)
{
	l->piece[i] = (struct weir_quant_piece){
		.name = piece_names[i],
		.linear = linear,
		.first = l->linear[linear].rows,
		.rows = rows,
		.clip = i != WEIR_QUANT_Q && i != WEIR_QUANT_K,
	};
	l->linear[linear].rows += rows;
}

static void layer_shape(struct weir_quant_layer *l)
{
	const struct weir_params *p = l->params;
	size_t q = (size_t)p->heads * p->head_dim, kv = (size_t)p->kv_heads * p->head_dim;

	piece_set(l, WEIR_QUANT_Q, WEIR_QUANT_QKV, q);
	piece_set(l, WEIR_QUANT_K, WEIR_QUANT_QKV, kv);
	piece_set(l, WEIR_QUANT_V, WEIR_QUANT_QKV, kv);
	piece_set(l, WEIR_QUANT_O, WEIR_QUANT_OUT, p->dim);
	piece_set(l, WEIR_QUANT_GATE, WEIR_QUANT_GATE_UP, p->ff);
	piece_set(l, WEIR_QUANT_UP, WEIR_QUANT_GATE_UP, p->ff);
	piece_set(l, WEIR_QUANT_D, WEIR_QUANT_DOWN, p->dim);
	l->linear[WEIR_QUANT_QKV].k = p->dim;
	l->linear[WEIR_QUANT_OUT].k = q;
	l->linear[WEIR_QUANT_GATE_UP].k = p->dim;
	l->linear[WEIR_QUANT_DOWN].k = p->ff;
	for (unsigned i = 0; i < WEIR_QUANT_LINEARS; i++)
		l->linear[i].kept = l->linear[i].k % 32 != 0;
	for (unsigned i = 0; i < WEIR_QUANT_PIECES; i++)
		l->piece[i].clip &= !l->linear[l->piece[i].linear].kept;
	for (unsigned i = 0; i < WEIR_QUANT_NORMS; i++)
		l->norm_size[i] = i <= WEIR_QUANT_FFN_NORM ? p->dim : p->qk_norm ? p->head_dim : 0;
}

/* An array of floats that is counted. */
static int floats_make(struct weir_quant_layer *l, size_t n, float **out)
{
	*out = calloc(n, sizeof(float));
	if (!*out)
		return weir_fail(ENOMEM, "no memory for %zu weights of a layer", n);
	l->bytes += n * sizeof(float);
	return 0;
}

static bool has_bias(const struct weir_checkpoint *in, const struct weir_quant_layer *l, enum weir_quant_linear linear)
{
	for (unsigned i = 0; i < WEIR_QUANT_PIECES; i++) {
		if (l->piece[i].linear != linear)
			continue;
		for (unsigned layer = 0; layer < l->params->layers; layer++)
			if (weir_quant_bias(in, &l->piece[i], layer))
				return true;
	}
	return false;
}

int weir_quant_layer_create(
	const struct weir_checkpoint *in, const struct weir_params *p, struct weir_quant_layer *l)
{
	int err = 0;

	memset(l, 0, sizeof(*l));
	l->params = p;
	layer_shape(l);
	for (unsigned i = 0; i < WEIR_QUANT_LINEARS && !err; i++) {
		struct weir_quant_matrix *m = &l->linear[i];
		size_t n;

		if (!weir_size_mul(m->rows, m->k, &n))
			return weir_fail(EOVERFLOW, "%zu x %zu weights are too many", m->rows, m->k);
		err = floats_make(l, n, &m->w);
		if (!err && has_bias(in, l, i))
			err = floats_make(l, m->rows, &m->bias);
	}
	for (unsigned i = 0; i < WEIR_QUANT_NORMS && !err; i++)
		if (l->norm_size[i])
			err = floats_make(l, l->norm_size[i], &l->norm[i]);
	return err;
}

void weir_quant_layer_free(struct weir_quant_layer *l)
{
	for (unsigned i = 0; i < WEIR_QUANT_LINEARS; i++) {
		free(l->linear[i].w);
		free(l->linear[i].bias);
	}
	for (unsigned i = 0; i < WEIR_QUANT_NORMS; i++)
		free(l->norm[i]);
	memset(l, 0, sizeof(*l));
}

struct read_rows {
	const struct weir_checkpoint *in;
	const struct weir_checkpoint_tensor *tensor;
	float *out;
	size_t k;
};

static int read_rows(void *user, size_t begin, size_t end)
{
	const struct read_rows *r = user;

	return weir_checkpoint_floats(r->in, r->tensor, begin, end - begin, r->out + begin * r->k);
}

/* All rows of k floats of a tensor, which must have that shape. */
static int tensor_read(const struct weir_checkpoint *in, const char *name, unsigned index, size_t rows, size_t k,
	float *out)
{
	struct read_rows r = {.in = in, .tensor = weir_quant_tensor(in, name, index), .out = out, .k = k};
	char full[64];
	int err;

	layer_name(name, index, full, sizeof(full));
	if (!r.tensor)
		return weir_fail(ENOENT, "cannot quantize %s: the tensor %s is missing", weir_checkpoint_path(in),
			full);
	if (r.tensor->dim[0] != k || r.tensor->dim[1] != rows || r.tensor->weights != (uint64_t)rows * k)
		return weir_fail(EINVAL, "cannot quantize %s: the tensor %s is %llu x %llu, it must be %zu x %zu",
			weir_checkpoint_path(in), full, (unsigned long long)r.tensor->dim[0],
			(unsigned long long)r.tensor->dim[1], k, rows);
	err = weir_parallel(0, rows, 64, read_rows, &r);
	weir_checkpoint_drop(in, r.tensor);
	return err;
}

static int piece_read(struct weir_quant_layer *l, const struct weir_checkpoint *in, unsigned i, unsigned index)
{
	const struct weir_quant_piece *piece = &l->piece[i];
	const struct weir_quant_matrix *m = &l->linear[piece->linear];
	const struct weir_checkpoint_tensor *bias = weir_quant_bias(in, piece, index);
	int err = tensor_read(in, piece->name, index, piece->rows, m->k, weir_quant_rows(l, piece));

	if (err || !m->bias)
		return err;
	memset(m->bias + piece->first, 0, piece->rows * sizeof(float));
	if (!bias)
		return 0;
	if (bias->weights != piece->rows)
		return weir_fail(EINVAL, "cannot quantize %s: the tensor %s has %llu values, it must have %zu",
			weir_checkpoint_path(in), bias->name, (unsigned long long)bias->weights, piece->rows);
	return weir_checkpoint_floats(in, bias, 0, 1, m->bias + piece->first);
}

int weir_quant_layer_read(struct weir_quant_layer *l, const struct weir_checkpoint *in, unsigned index)
{
	int err = 0;

	for (unsigned i = 0; i < WEIR_QUANT_PIECES && !err; i++)
		err = piece_read(l, in, i, index);
	for (unsigned i = 0; i < WEIR_QUANT_NORMS && !err; i++)
		if (l->norm[i])
			err = tensor_read(in, weir_quant_norm_names[i], index, 1, l->norm_size[i], l->norm[i]);
	return err;
}
