/* SPDX-License-Identifier: MIT */
/* The search of scales between a norm and a linear: AWQ's (Lin et al. 2023, section 3.2), and SmoothQuant's alpha. */
#include <math.h>

#include "base/base.h"
#include "llm/quantize_search.h"

#define ROWS_AT_ONCE (4 * WEIR_PLANE_ROWS)

/*
 * A candidate stops when its mean distance to the best, over n >= RACE_BLOCKS blocks, is more than RACE_ERRORS * (1 + 4 / n)
 * standard errors: by Student's distribution that happens by chance once in 300 000 times over 8 blocks, and over 16
 * once in 40 millions.
 */
#define RACE_ERRORS 8.0
#define RACE_BLOCKS 8

static struct weir_plane_format plane_format(const struct weir_quantizer *z, size_t k, bool row_act)
{
	struct weir_plane_format f = {
		.base = z->bits == 2 ? WEIR_PLANE_U2
			: z->bits == 3 ? WEIR_PLANE_U3
			: z->bits == 4 ? WEIR_PLANE_U4
				       : WEIR_PLANE_U8,
		.group = z->group && z->group < k ? z->group : (uint32_t)k,
		.zero = (uint8_t)(1 << (z->bits - 1)),
		.zeros = !z->symmetric,
		.f32_scales = true,
		.row_act = row_act,
	};

	return f;
}

static int buffer_make(struct weir_quant_search *s)
{
	struct weir_quant_net *net = s->net;
	const struct weir_quant_matrix *h = &net->layer->linear[s->linear];
	struct weir_plane_format format = plane_format(&s->quantizer, h->k, s->row_act);
	size_t total = 0, most = weir_device_props(net->dev)->max_buffer;
	int err = 0;

	for (unsigned i = 0; i < s->n && !err; i++) {
		struct weir_matrix *m = &s->matrix[i];

		err = weir_plane_layout(&format, h->rows, h->k, weir_device_props(net->dev)->align, &m->layout);
		if (!err && m->layout.size > (most - total) / 2)
			err = weir_fail(EFBIG, "%u candidates of %zu x %zu weights are too much for one buffer", s->n,
				h->rows, h->k);
		m->name = "candidate";
		m->offset = weir_quant_span_take(net->dev, &total, m->layout.size).offset;
		s->norm[i] = weir_quant_span_take(net->dev, &total, h->k * sizeof(float));
		s->sums[i] = weir_quant_span_take(net->dev, &total, WEIR_SQDIFF_SUMS * sizeof(float));
	}
	net->bytes += total;
	if (!err)
		err = weir_buffer_create(net->dev, total, "candidates", &s->buffer);
	for (unsigned i = 0; i < s->n; i++)
		s->matrix[i].buffer = s->buffer;
	return err;
}

static struct weir_tensor *bind(struct weir_quant_search *s, unsigned i, const char *name, struct weir_quant_span span)
{
	return weir_graph_bind(s->graph[i], name, s->buffer, span.offset, span.size);
}

static int candidate_record(struct weir_quant_search *s, unsigned i)
{
	const struct weir_quant_net *net = s->net;
	const struct weir_params *p = net->layer->params;
	bool attention = s->linear == WEIR_QUANT_QKV;
	struct weir_rows_out in = {.fine = !s->row_act};
	struct weir_step_tensors step;
	struct weir_tensor *packed;
	struct weir_graph *g;
	int err = weir_graph_create(net->dev, &s->graph[i]);

	if (err)
		return err;
	g = s->graph[i];
	weir_quant_net_step(net, g, &step);
	packed = weir_quant_net_act(net, g, WEIR_QUANT_ACT_PACKED);
	if (s->row_act)
		in.rows8 = packed;
	else
		in.packed = packed;
	weir_op_rmsnorm(g, &step, weir_quant_net_act(net, g, attention ? WEIR_QUANT_ACT_X : WEIR_QUANT_ACT_MID),
		bind(s, i, "norm / s", s->norm[i]), p->dim, p->eps, in);
	if (attention)
		weir_quant_net_attention(net, g, &step, &s->matrix[i], in, WEIR_QUANT_ACT_TRY_ROW, WEIR_QUANT_ACT_TRY_OUT);
	else
		weir_quant_net_ffn(net, g, &step, &s->matrix[i], in, WEIR_QUANT_ACT_TRY_ROW, WEIR_QUANT_ACT_TRY_OUT);
	weir_op_sqdiff(g, &step, weir_quant_net_act(net, g, WEIR_QUANT_ACT_TRY_OUT),
		weir_quant_net_act(net, g, attention ? WEIR_QUANT_ACT_ATTN_DIFF : WEIR_QUANT_ACT_FFN_DIFF), p->dim,
		bind(s, i, "sums", s->sums[i]));
	return weir_graph_plan(g, &s->plan[i]);
}

int weir_quant_search_create(struct weir_quant_net *net, enum weir_quant_linear linear,
	const struct weir_quantizer *quantizer, bool row_act, unsigned n, unsigned most_blocks, bool exhaustive,
	struct weir_quant_search *s)
{
	int err;

	memset(s, 0, sizeof(*s));
	s->net = net;
	s->linear = linear;
	s->quantizer = *quantizer;
	s->row_act = row_act;
	s->n = n;
	s->exhaustive = exhaustive;
	s->most_blocks = most_blocks;
	s->block = calloc((size_t)most_blocks * n, sizeof(*s->block));
	if (!s->block)
		return weir_fail(ENOMEM, "no memory for the losses of %u blocks", most_blocks);
	err = buffer_make(s);
	for (unsigned i = 0; i < n && !err; i++)
		err = candidate_record(s, i);
	return err;
}

void weir_quant_search_destroy(struct weir_quant_search *s)
{
	for (unsigned i = 0; i < s->n; i++)
		weir_graph_destroy(s->graph[i]);
	weir_buffer_destroy(s->buffer);
	free(s->block);
	memset(s, 0, sizeof(*s));
}

/* ---- candidates' weights --------------------------------------------------------------------- */

struct fill {
	struct weir_quant_search *s;
	const float *scales;
	char *base; /* of the buffer */
	size_t parts; /* of a candidate */
};

/* Some rows of one candidate. */
static int rows_fill(const struct fill *f, unsigned candidate, size_t first)
{
	struct weir_quant_search *s = f->s;
	const struct weir_quant_matrix *h = &s->net->layer->linear[s->linear];
	size_t rows = WEIR_MIN(h->rows - first, ROWS_AT_ONCE), groups = s->matrix[candidate].layout.groups;
	uint8_t *q = malloc(rows * (h->k + groups));
	float *scale = malloc(rows * groups * sizeof(float));
	struct weir_codes codes = {.q = q, .scale = scale, .zero = q + rows * h->k};
	int err = q && scale ? 0 : weir_fail(ENOMEM, "no memory for %zu rows of codes", rows);

	if (!err)
		err = weir_quant_rtn(&s->quantizer, h->w + first * h->k, f->scales + candidate * h->k, rows, h->k, q,
			scale, q + rows * h->k);
	if (!err)
		weir_plane_put(&s->matrix[candidate].layout, f->base + s->matrix[candidate].offset, &codes, first, rows);
	free(q);
	free(scale);
	return err;
}

static int fill(void *user, size_t begin, size_t end)
{
	const struct fill *f = user;
	int err = 0;

	for (size_t i = begin; i < end && !err; i++)
		err = rows_fill(f, (unsigned)(i / f->parts), i % f->parts * ROWS_AT_ONCE);
	return err;
}

int weir_quant_search_begin(struct weir_quant_search *s, const float *scales)
{
	const struct weir_quant_matrix *h = &s->net->layer->linear[s->linear];
	const float *norm = s->net->layer->norm[s->linear == WEIR_QUANT_QKV ? WEIR_QUANT_ATTN_NORM : WEIR_QUANT_FFN_NORM];
	struct fill f = {.s = s, .scales = scales, .parts = (h->rows + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE};
	int err, end;

	s->blocks = 0;
	memset(s->stopped, 0, sizeof(s->stopped));
	err = weir_buffer_begin(s->buffer, 0, weir_buffer_size(s->buffer), WEIR_ACCESS_WRITE, (void **)&f.base);
	if (err)
		return err;
	for (unsigned i = 0; i < s->n; i++) {
		float *out = (float *)(f.base + s->norm[i].offset);

		memcpy(out, norm, h->k * sizeof(float));
		weir_unscale_columns(out, 1, h->k, scales + i * h->k);
	}
	err = weir_parallel(0, f.parts * s->n, 1, fill, &f);
	end = weir_buffer_end(s->buffer, f.base);
	return err ? err : end;
}

/* ---- the race -------------------------------------------------------------------------------- */

int weir_quant_search_run(struct weir_quant_search *s)
{
	int err = 0;

	for (unsigned i = 0; i < s->n && !err; i++)
		if (!s->stopped[i])
			err = weir_plan_run(s->plan[i], s->net->width);
	return err;
}

static double total(const struct weir_quant_search *s, unsigned i)
{
	double sum = 0;

	for (unsigned b = 0; b < s->blocks; b++)
		sum += s->block[b * s->n + i];
	return sum;
}

/* Whether candidate i is behind the best for good. */
static bool is_behind(const struct weir_quant_search *s, unsigned i, unsigned best)
{
	double n = s->blocks, mean = 0, squares = 0;

	for (unsigned b = 0; b < s->blocks; b++)
		mean += (s->block[b * s->n + i] - s->block[b * s->n + best]) / n;
	for (unsigned b = 0; b < s->blocks; b++) {
		double d = s->block[b * s->n + i] - s->block[b * s->n + best] - mean;

		squares += d * d;
	}
	return mean > RACE_ERRORS * (1 + 4 / n) * sqrt(squares / (n - 1) / n);
}

static void race(struct weir_quant_search *s)
{
	unsigned best = 0;

	for (unsigned i = 1; i < s->n; i++)
		if (!s->stopped[i] && total(s, i) < total(s, best))
			best = i;
	for (unsigned i = 1; i < s->n; i++)
		if (i != best && !s->stopped[i])
			s->stopped[i] = is_behind(s, i, best);
}

int weir_quant_search_add(struct weir_quant_search *s)
{
	double *out = s->block + (size_t)s->blocks * s->n;
	int err = 0;

	for (unsigned i = 0; i < s->n && !err; i++) {
		const float *sums;

		out[i] = 0;
		if (s->stopped[i])
			continue;
		err = weir_buffer_begin(
			s->buffer, s->sums[i].offset, s->sums[i].size, WEIR_ACCESS_READ, (void **)&sums);
		if (err)
			return err;
		for (size_t j = 0; j < s->sums[i].size / sizeof(float); j++)
			out[i] += sums[j];
		err = weir_buffer_end(s->buffer, (void *)sums);
	}
	s->blocks++;
	if (!s->exhaustive && s->blocks >= RACE_BLOCKS)
		race(s);
	return err;
}

unsigned weir_quant_search_losses(const struct weir_quant_search *s, double loss[WEIR_QUANT_TRIES])
{
	double values = (double)s->blocks * s->net->width * s->net->layer->params->dim;
	unsigned finished = 0;

	for (unsigned i = 0; i < s->n; i++) {
		loss[i] = s->stopped[i] ? INFINITY : total(s, i) / values;
		finished += !s->stopped[i];
	}
	return finished;
}
