/* SPDX-License-Identifier: MIT */
/* Losses of one linear from its input's Gram matrix: 20 candidates cost less than running the tokens once. */
#include "base/base.h"
#include "llm/quantize_search.h"

/* Rows of D that go together at most. */
#define MOST_ROWS 512
#define ROWS_AT_ONCE 16

static int buffer_make(struct weir_quant_gram *m)
{
	static const struct weir_plane_format format = {.base = WEIR_PLANE_F32};
	struct weir_quant_net *net = m->net;
	size_t k = net->layer->linear[m->linear].k, total = 0;
	int err = weir_plane_layout(&format, k, k, weir_device_props(net->dev)->align, &m->gram.layout);

	if (err)
		return err;
	m->gram.name = "gram";
	m->gram.offset = weir_quant_span_take(net->dev, &total, m->gram.layout.size).offset;
	m->step = weir_quant_span_take(net->dev, &total, sizeof(struct weir_step));
	m->d_at = weir_quant_span_take(net->dev, &total, m->width * k * sizeof(float));
	m->product = weir_quant_span_take(net->dev, &total, m->width * k * sizeof(float));
	net->bytes += total;
	err = weir_buffer_create(net->dev, total, "a Gram matrix", &m->buffer);
	m->gram.buffer = m->buffer;
	return err;
}

static struct weir_tensor *bind(struct weir_quant_gram *m, const char *name, struct weir_quant_span span)
{
	return weir_graph_bind(m->graph, name, m->buffer, span.offset, span.size);
}

static int graph_make(struct weir_quant_gram *m)
{
	struct weir_step step = {.n_tokens = (int)m->width, .out_count = 1};
	size_t k = m->gram.layout.k;
	struct weir_step_tensors s = {.width = m->width};
	void *at;
	int err = weir_buffer_begin(m->buffer, m->step.offset, sizeof(step), WEIR_ACCESS_WRITE, &at);

	if (err)
		return err;
	memcpy(at, &step, sizeof(step));
	if ((err = weir_buffer_end(m->buffer, at)) || (err = weir_graph_create(m->net->dev, &m->graph)))
		return err;
	s.step = bind(m, "step", m->step);
	weir_op_matmul(m->graph, &s, "gram loss", &m->gram, (struct weir_rows_out){.f32 = bind(m, "D", m->d_at)},
		m->width, bind(m, "D G", m->product), k, 0, NULL, 0);
	return weir_graph_plan(m->graph, &m->plan);
}

int weir_quant_gram_create(struct weir_quant_net *net, enum weir_quant_linear linear,
	const struct weir_quantizer *quantizer, struct weir_quant_gram *m)
{
	const struct weir_quant_matrix *h = &net->layer->linear[linear];
	size_t parts = (h->rows + MOST_ROWS - 1) / MOST_ROWS;
	int err;

	memset(m, 0, sizeof(*m));
	m->net = net;
	m->linear = linear;
	m->quantizer = *quantizer;
	/* One row alone would take the kernel of another shape. */
	m->width = (unsigned)WEIR_MAX((h->rows + parts - 1) / parts, 2);
	m->d = calloc(parts * m->width, h->k * sizeof(float));
	m->row = calloc(parts * m->width, sizeof(double));
	if (!m->d || !m->row)
		return weir_fail(ENOMEM, "no memory for %zu x %zu differences", h->rows, h->k);
	err = buffer_make(m);
	return err ? err : graph_make(m);
}

void weir_quant_gram_destroy(struct weir_quant_gram *m)
{
	weir_graph_destroy(m->graph);
	weir_buffer_destroy(m->buffer);
	free(m->d);
	free(m->row);
	memset(m, 0, sizeof(*m));
}

int weir_quant_gram_load(struct weir_quant_gram *m, const float *gram)
{
	void *at;
	int end, err = weir_buffer_begin(m->buffer, m->gram.offset, m->gram.layout.size, WEIR_ACCESS_WRITE, &at);

	if (err)
		return err;
	err = weir_quant_pack(&m->gram.layout, gram, at);
	end = weir_buffer_end(m->buffer, at);
	return err ? err : end;
}

/* ---- D = Q(W s) / s - W ---------------------------------------------------------------------- */

struct change {
	struct weir_quant_gram *m;
	const float *s;
};

static int change_rows(void *user, size_t begin, size_t end)
{
	const struct change *c = user;
	const struct weir_quant_matrix *h = &c->m->net->layer->linear[c->m->linear];
	const struct weir_quantizer *z = &c->m->quantizer;
	size_t rows = end - begin, groups = weir_quant_groups(z, h->k);
	const float *w = h->w + begin * h->k;
	float *d = c->m->d + begin * h->k, *scale = malloc(rows * groups * sizeof(float));
	uint8_t *q = malloc(rows * (h->k + groups)), *zero = q + rows * h->k;
	int err = q && scale ? 0 : weir_fail(ENOMEM, "no memory for %zu rows of codes", rows);

	if (!err)
		err = weir_quant_rtn(z, w, c->s, rows, h->k, q, scale, zero);
	if (!err) {
		weir_quant_dequant(z, q, scale, zero, rows, h->k, d);
		weir_unscale_columns(d, rows, h->k, c->s);
		for (size_t i = 0; i < rows * h->k; i++)
			d[i] -= w[i];
	}
	free(q);
	free(scale);
	return err;
}

struct trace {
	const float *d, *product;
	double *row;
	size_t k;
};

static int trace_rows(void *user, size_t begin, size_t end)
{
	const struct trace *t = user;

	for (size_t r = begin; r < end; r++) {
		double sum = 0;

		for (size_t i = 0; i < t->k; i++)
			sum += (double)t->d[r * t->k + i] * t->product[r * t->k + i];
		t->row[r] = sum;
	}
	return 0;
}

/* Rows [first, first + width) times G, and what they add to the trace. */
static int part_run(struct weir_quant_gram *m, size_t first)
{
	size_t k = m->gram.layout.k;
	struct trace t = {.d = m->d + first * k, .row = m->row + first, .k = k};
	int end, err = weir_quant_put(m->buffer, m->d_at.offset, t.d, m->width * k);

	if (!err)
		err = weir_plan_run(m->plan, m->width);
	if (!err)
		err = weir_buffer_begin(
			m->buffer, m->product.offset, m->product.size, WEIR_ACCESS_READ, (void **)&t.product);
	if (err)
		return err;
	err = weir_parallel(0, m->width, ROWS_AT_ONCE, trace_rows, &t);
	end = weir_buffer_end(m->buffer, (void *)t.product);
	return err ? err : end;
}

int weir_quant_gram_loss(struct weir_quant_gram *m, const float *s, double tokens, double *loss)
{
	size_t rows = m->net->layer->linear[m->linear].rows;
	struct change c = {m, s};
	double sum = 0;
	int err = weir_parallel(0, rows, ROWS_AT_ONCE, change_rows, &c);

	for (size_t first = 0; first < rows && !err; first += m->width)
		err = part_run(m, first);
	for (size_t i = 0; i < rows; i++)
		sum += m->row[i];
	*loss = sum / (tokens * (double)rows);
	return err;
}
