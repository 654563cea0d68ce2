/* SPDX-License-Identifier: MIT */
/* Calibration: tokens of a text, their hidden states, and statistics of what enters a layer's linears. */
#include "base/base.h"
#include "format/tokenizer.h"
#include "llm/quantize_calib.h"
#include "quant/quantize.h"

#define LEAST_TOKENS 16

/* ---- the text -------------------------------------------------------------------------------- */

static int text_tokens(const struct weir_checkpoint *in, const weir_tokenizer *t,
	const struct weir_quantize_settings *set, int32_t **tokens, size_t *n)
{
	int64_t count;

	if (!t)
		return weir_fail(EINVAL, "cannot quantize %s: it has no vocabulary to read the calibration text with",
			weir_checkpoint_path(in));
	count = weir_tokenize(t, set->text, set->len, WEIR_TOKENIZE_BOS, NULL, 0);
	if (count < 0)
		return (int)count;
	*n = (size_t)count;
	*tokens = calloc(WEIR_MAX(*n, 1), sizeof(**tokens));
	if (!*tokens)
		return weir_fail(ENOMEM, "no memory for %zu tokens", *n);
	count = weir_tokenize(t, set->text, set->len, WEIR_TOKENIZE_BOS, *tokens, *n);
	return count < 0 ? (int)count : 0;
}

/* Of the blocks of the text's n tokens, those that are taken, evenly spread over it. */
static int blocks_take(struct weir_quant_calib *c, const struct weir_quantize_settings *set, const int32_t *tokens, size_t n)
{
	if (n < LEAST_TOKENS)
		return weir_fail(EINVAL, "the calibration text has %zu tokens, it needs %d or more", n, LEAST_TOKENS);
	c->length = (unsigned)WEIR_MIN((size_t)set->length, n);
	c->blocks = n / c->length;
	c->samples = (unsigned)WEIR_MIN(c->blocks, (uint64_t)set->samples);
	c->tokens = calloc(weir_quant_tokens(c), sizeof(*c->tokens));
	if (!c->tokens)
		return weir_fail(ENOMEM, "no memory for %zu tokens", weir_quant_tokens(c));
	for (unsigned i = 0; i < c->samples; i++) {
		uint64_t block = i * c->blocks / c->samples;

		memcpy(c->tokens + (size_t)i * c->length, tokens + block * c->length,
			c->length * sizeof(*tokens));
	}
	return 0;
}

/* ---- hidden states --------------------------------------------------------------------------- */

struct embed {
	const struct weir_checkpoint *in;
	const struct weir_checkpoint_tensor *tensor;
	const struct weir_quant_calib *calib;
};

static int embed_tokens(void *user, size_t begin, size_t end)
{
	const struct embed *e = user;

	for (size_t i = begin; i < end; i++) {
		int err = weir_checkpoint_floats(
			e->in, e->tensor, (size_t)e->calib->tokens[i], 1, e->calib->hidden + i * e->calib->dim);

		if (err)
			return err;
	}
	return 0;
}

static int hidden_make(const struct weir_checkpoint *in, const struct weir_params *p, struct weir_quant_calib *c)
{
	struct embed e = {.in = in, .tensor = weir_checkpoint_tensor(in, "token_embd.weight"), .calib = c};
	size_t n;

	if (!e.tensor || e.tensor->dim[0] != p->dim)
		return weir_fail(EINVAL, "cannot quantize %s: the tensor token_embd.weight is missing or not of %u columns",
			weir_checkpoint_path(in), p->dim);
	for (size_t i = 0; i < weir_quant_tokens(c); i++)
		if (c->tokens[i] < 0 || (uint64_t)c->tokens[i] >= e.tensor->dim[1])
			return weir_fail(EINVAL, "cannot quantize %s: the token %d has no embedding",
				weir_checkpoint_path(in), c->tokens[i]);
	if (weir_size_mul(weir_quant_tokens(c), p->dim, &n))
		c->hidden = calloc(n, sizeof(float));
	if (!c->hidden)
		return weir_fail(ENOMEM, "no memory for the hidden states of %zu tokens: take fewer samples",
			weir_quant_tokens(c));
	return weir_parallel(0, weir_quant_tokens(c), 512, embed_tokens, &e);
}

int weir_quant_calib_create(const struct weir_checkpoint *in, const struct weir_params *p, const weir_tokenizer *t,
	const struct weir_quantize_settings *set, struct weir_quant_calib *c)
{
	int32_t *own = NULL;
	size_t n = set->n_tokens;
	int err = 0;

	memset(c, 0, sizeof(*c));
	c->dim = p->dim;
	if (!set->tokens)
		err = text_tokens(in, t, set, &own, &n);
	if (!err)
		err = blocks_take(c, set, set->tokens ? set->tokens : own, n);
	free(own);
	return err ? err : hidden_make(in, p, c);
}

void weir_quant_calib_free(struct weir_quant_calib *c)
{
	free(c->tokens);
	free(c->hidden);
	memset(c, 0, sizeof(*c));
}

/* ---- statistics ------------------------------------------------------------------------------ */

static int arrays_make(struct weir_quant_stats *st)
{
	size_t tokens = weir_quant_tokens(st->calib);

	st->stride = weir_awq_clip_stride(tokens);
	st->samples = st->sampled ? (tokens + st->stride - 1) / st->stride : 0;
	for (unsigned i = 0; i < WEIR_QUANT_LINEARS; i++) {
		size_t k = st->net->layer->linear[i].k;

		st->mean[i] = calloc(k, sizeof(float));
		st->max[i] = calloc(k, sizeof(float));
		st->sample[i] = calloc(WEIR_MAX(st->samples, 1), k * sizeof(float));
		if (!st->mean[i] || !st->max[i] || !st->sample[i])
			return weir_fail(ENOMEM, "no memory for %zu activations of %zu", st->samples, k);
	}
	return 0;
}

static int buffer_make(struct weir_quant_stats *st)
{
	struct weir_quant_net *net = st->net;
	size_t total = 0;

	for (unsigned i = 0; i < WEIR_QUANT_LINEARS; i++) {
		size_t k = net->layer->linear[i].k, size;

		st->column_at[i] = weir_quant_span_take(net->dev, &total, 2 * k * sizeof(float));
		if (!st->gram[i])
			continue;
		if (!weir_size_mul(k, k * sizeof(float), &size) || size > weir_device_props(net->dev)->max_buffer - total)
			return weir_fail(EFBIG, "the Gram matrix of %zu channels is too large for one buffer", k);
		st->gram_at[i] = weir_quant_span_take(net->dev, &total, size);
	}
	net->bytes += total;
	return weir_buffer_create(net->dev, total, "statistics", &st->buffer);
}

static int graph_make(struct weir_quant_stats *st)
{
	struct weir_step_tensors s;
	int err = weir_graph_create(st->net->dev, &st->graph);

	if (err)
		return err;
	weir_quant_net_step(st->net, st->graph, &s);
	for (unsigned i = 0; i < WEIR_QUANT_LINEARS; i++) {
		struct weir_tensor *x = weir_quant_net_act(st->net, st->graph, weir_quant_input(i));
		size_t k = st->net->layer->linear[i].k;

		if (st->net->layer->linear[i].kept)
			continue;
		weir_op_colstat(st->graph, &s, x, k,
			weir_graph_bind(st->graph, "columns", st->buffer, st->column_at[i].offset,
				st->column_at[i].size));
		if (st->gram[i])
			weir_op_gram(st->graph, &s, x, k,
				weir_graph_bind(
					st->graph, "gram", st->buffer, st->gram_at[i].offset, st->gram_at[i].size));
	}
	return weir_graph_plan(st->graph, &st->plan);
}

int weir_quant_stats_create(struct weir_quant_net *net, const struct weir_quant_calib *calib,
	const bool gram[WEIR_QUANT_LINEARS], bool sampled, struct weir_quant_stats *st)
{
	int err;

	memset(st, 0, sizeof(*st));
	st->net = net;
	st->calib = calib;
	st->sampled = sampled;
	memcpy(st->gram, gram, sizeof(st->gram));
	err = arrays_make(st);
	if (!err)
		err = buffer_make(st);
	return err ? err : graph_make(st);
}

void weir_quant_stats_destroy(struct weir_quant_stats *st)
{
	weir_graph_destroy(st->graph);
	weir_buffer_destroy(st->buffer);
	for (unsigned i = 0; i < WEIR_QUANT_LINEARS; i++) {
		free(st->mean[i]);
		free(st->max[i]);
		free(st->sample[i]);
	}
	memset(st, 0, sizeof(*st));
}

int weir_quant_stats_begin(struct weir_quant_stats *st)
{
	size_t size = weir_buffer_size(st->buffer);
	void *at;
	int err = weir_buffer_begin(st->buffer, 0, size, WEIR_ACCESS_WRITE, &at);

	if (err)
		return err;
	memset(at, 0, size);
	return weir_buffer_end(st->buffer, at);
}

/* The clip search's tokens of block i: every stride-th of all. */
static int samples_take(struct weir_quant_stats *st, unsigned i)
{
	size_t begin = (size_t)i * st->calib->length, end = begin + st->calib->length;
	int err = 0;

	for (size_t n = (begin + st->stride - 1) / st->stride; n * st->stride < end && !err; n++)
		for (unsigned l = 0; l < WEIR_QUANT_LINEARS && !err; l++)
			err = weir_quant_net_read(st->net, weir_quant_input(l), (unsigned)(n * st->stride - begin),
				1, st->sample[l] + n * st->net->layer->linear[l].k);
	return err;
}

int weir_quant_stats_add(struct weir_quant_stats *st, unsigned i)
{
	int err = weir_plan_run(st->plan, st->net->width);

	return err || !st->sampled ? err : samples_take(st, i);
}

int weir_quant_stats_end(struct weir_quant_stats *st)
{
	float tokens = (float)weir_quant_tokens(st->calib);
	int err = 0;

	for (unsigned i = 0; i < WEIR_QUANT_LINEARS && !err; i++) {
		size_t k = st->net->layer->linear[i].k;

		err = weir_quant_get(st->buffer, st->column_at[i].offset, st->mean[i], k);
		if (!err)
			err = weir_quant_get(
				st->buffer, st->column_at[i].offset + k * sizeof(float), st->max[i], k);
		for (size_t c = 0; c < k; c++)
			st->mean[i][c] /= tokens;
	}
	return err;
}

int weir_quant_stats_gram(struct weir_quant_stats *st, enum weir_quant_linear l, float *out)
{
	size_t k = st->net->layer->linear[l].k;

	return weir_quant_get(st->buffer, st->gram_at[l].offset, out, k * k);
}
