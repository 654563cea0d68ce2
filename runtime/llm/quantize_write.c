/* SPDX-License-Identifier: MIT */
/* What a quantizer gives to the output: which tensors, and each layer's codes and changed vectors. */
#include "base/base.h"
#include "llm/quantize_run.h"

#define ROWS_AT_ONCE 64

/* Norms whose weights are divided by scales. */
static bool norm_changes(const struct weir_quant_run *r, unsigned norm)
{
	return norm == WEIR_QUANT_ATTN_NORM ? weir_quant_is_scaled(r, WEIR_QUANTIZE_ATTN_IN)
					    : norm == WEIR_QUANT_FFN_NORM &&
			weir_quant_is_scaled(r, WEIR_QUANTIZE_FFN_IN);
}

/* The bias of v is divided where v -> o is scaled, that of up where up -> down is. */
static bool bias_changes(const struct weir_quant_run *r, unsigned piece)
{
	return (piece == WEIR_QUANT_V && weir_quant_is_scaled(r, WEIR_QUANTIZE_ATTN_OUT)) ||
		(piece == WEIR_QUANT_UP && weir_quant_is_scaled(r, WEIR_QUANTIZE_FFN_OUT));
}

/* The place of a tensor in the output's list; the input has it. */
static size_t place_of(const struct weir_quant_run *r, const struct weir_checkpoint_tensor *t)
{
	size_t i = 0;

	while (i < r->n_tensors && r->tensors[i].in != t)
		i++;
	return i;
}

static int form_set(struct weir_quant_run *r, const struct weir_checkpoint_tensor *t, const char *name, unsigned layer,
	enum weir_export_form form)
{
	if (!t)
		return weir_fail(ENOENT, "cannot quantize %s: its layer %u has no tensor as %s",
			weir_checkpoint_path(r->in), layer, name);
	r->tensors[place_of(r, t)].form = form;
	return 0;
}

static int layer_forms(struct weir_quant_run *r, unsigned layer)
{
	int err = 0;

	for (unsigned i = 0; i < WEIR_QUANT_PIECES && !err; i++) {
		const struct weir_quant_piece *piece = &r->layer.piece[i];
		const struct weir_checkpoint_tensor *bias = weir_quant_bias(r->in, piece, layer);

		err = form_set(r, weir_quant_tensor(r->in, piece->name, layer), piece->name, layer,
			r->layer.linear[piece->linear].kept ? WEIR_EXPORT_KEEP : WEIR_EXPORT_CODES);
		if (!err && bias && bias_changes(r, i))
			err = form_set(r, bias, piece->name, layer, WEIR_EXPORT_FLOAT);
	}
	for (unsigned i = 0; i < WEIR_QUANT_NORMS && !err; i++)
		if (norm_changes(r, i))
			err = form_set(r, weir_quant_tensor(r->in, weir_quant_norm_names[i], layer),
				weir_quant_norm_names[i], layer, WEIR_EXPORT_FLOAT);
	return err;
}

/* What a resumed run must have in common with the one that it goes on with. */
static void identity(const struct weir_quant_run *r, uint64_t out[2])
{
	const struct weir_quantize_settings *s = &r->set;
	const struct weir_device_props *props = weir_device_props(r->dev);
	const double numbers[] = {1 /* of the algorithm */, s->method, s->bits, s->group, s->token_int8, s->duo, s->clip,
		s->exhaustive, s->alpha, s->alpha_down, s->samples, s->length, props->tier, props->schedule};
	struct weir_hash h;

	weir_hash_init(&h);
	weir_params_fingerprint(r->in, &h);
	weir_hash_add(&h, numbers, sizeof(numbers));
	weir_hash_add(&h, props->name, strlen(props->name));
	if (r->calib.tokens)
		weir_hash_add(&h, r->calib.tokens, weir_quant_tokens(&r->calib) * sizeof(int32_t));
	/* Of the weights some bytes of each tensor: other weights have others. */
	for (size_t i = 0; i < weir_checkpoint_tensor_count(r->in); i++) {
		const struct weir_checkpoint_tensor *t = weir_checkpoint_tensor_at(r->in, i);
		size_t part = WEIR_MIN(t->size, (size_t)4096);

		if (!t->data)
			continue;
		weir_hash_add(&h, t->data, part);
		weir_hash_add(&h, (const char *)t->data + (t->size - part) / 2, part);
		weir_checkpoint_drop(r->in, t);
	}
	out[0] = h.lo;
	out[1] = h.hi;
}

int weir_quant_write_open(struct weir_quant_run *r, const char *path)
{
	size_t len = strlen(path);
	struct weir_export_settings s = {
		.path = path,
		.folder = len < 5 || strcmp(path + len - 5, ".gguf"),
		.overwrite = r->set.overwrite,
		.method = weir_quantize_method_name(r->set.method),
		.bits = r->set.bits,
		.group = r->set.group,
		.row_act = r->set.token_int8,
	};
	int err = 0;

	r->n_tensors = weir_checkpoint_tensor_count(r->in);
	r->tensors = calloc(r->n_tensors, sizeof(*r->tensors));
	if (!r->tensors)
		return weir_fail(ENOMEM, "no memory for a list of %zu tensors", r->n_tensors);
	for (size_t i = 0; i < r->n_tensors; i++)
		r->tensors[i].in = weir_checkpoint_tensor_at(r->in, i);
	for (unsigned i = 0; i < r->params.layers && !err; i++)
		err = layer_forms(r, i);
	if (err)
		return err;
	identity(r, s.identity);
	return weir_export_open(r->in, &r->params, r->tokenizer, &s, r->tensors, r->n_tensors, &r->out);
}

/* ---- a layer --------------------------------------------------------------------------------- */

struct round {
	const struct weir_quantizer *quantizer;
	const float *w;
	size_t k, groups;
	uint8_t *q, *zero;
	float *scale;
};

static int round_rows(void *user, size_t begin, size_t end)
{
	const struct round *d = user;

	return weir_quant_rtn(d->quantizer, d->w + begin * d->k, NULL, end - begin, d->k, d->q + begin * d->k,
		d->scale + begin * d->groups, d->zero + begin * d->groups);
}

static int piece_write(struct weir_quant_run *r, const struct weir_quant_piece *piece, unsigned index)
{
	struct weir_quantizer z = r->quantizer;
	const struct weir_checkpoint_tensor *t = weir_quant_tensor(r->in, piece->name, index);
	struct round d = {.quantizer = &z, .w = weir_quant_rows(&r->layer, piece), .k = r->layer.linear[piece->linear].k};
	struct weir_codes codes;
	int err;

	z.half_scales = true;
	d.groups = weir_quant_groups(&z, d.k);
	d.q = malloc(piece->rows * (d.k + d.groups));
	d.zero = d.q + piece->rows * d.k;
	d.scale = malloc(piece->rows * d.groups * sizeof(*d.scale));
	err = d.q && d.scale ? 0 : weir_fail(ENOMEM, "no memory for the codes of %s", t->name);
	if (!err) {
		err = weir_parallel(0, piece->rows, ROWS_AT_ONCE, round_rows, &d);
		if (err)
			weir_fail_in(err, "%s", t->name);
	}
	codes = (struct weir_codes){.q = d.q, .scale = d.scale, .zero = z.symmetric ? NULL : d.zero};
	if (!err)
		err = weir_export_codes(r->out, place_of(r, t), &codes);
	free(d.q);
	free(d.scale);
	return err;
}

int weir_quant_write_layer(struct weir_quant_run *r, unsigned index)
{
	int err = 0;

	for (unsigned i = 0; i < WEIR_QUANT_PIECES && !err; i++) {
		const struct weir_quant_piece *piece = &r->layer.piece[i];
		const struct weir_checkpoint_tensor *bias = weir_quant_bias(r->in, piece, index);

		if (!r->layer.linear[piece->linear].kept)
			err = piece_write(r, piece, index);
		if (!err && bias && bias_changes(r, i))
			err = weir_export_floats(r->out, place_of(r, bias),
				r->layer.linear[piece->linear].bias + piece->first);
	}
	for (unsigned i = 0; i < WEIR_QUANT_NORMS && !err; i++)
		if (norm_changes(r, i))
			err = weir_export_floats(r->out,
				place_of(r, weir_quant_tensor(r->in, weir_quant_norm_names[i], index)),
				r->layer.norm[i]);
	return err ? err : weir_export_stage_done(r->out, index);
}
