/* SPDX-License-Identifier: MIT */
/* The reference decoder: slow where that keeps it plain, never approximate. */
#include <math.h>

#include "base/base.h"
#include "format/gguf.h"
#include "quant/plane.h"
#include "tests/reference.h"

#define THREADS 2
#define BATCH 16 /* tokens that share one pass over the weights */
#define ROW_CHUNK 32
#define LANES 16

struct matrix {
	float *w; /* (rows, k), or NULL: absent */
	size_t rows, k;
};

struct layer {
	struct matrix attn_norm, ffn_norm; /* (1, dim) */
	struct matrix q, k, v, o; /* (heads or kv_heads * head_dim, dim), o the other way */
	struct matrix q_bias, k_bias, v_bias; /* Qwen2 */
	struct matrix q_norm, k_norm; /* (1, head_dim): Qwen3 */
	struct matrix gate, up, down; /* (ffn, dim), (ffn, dim), (dim, ffn) */
	float *keys, *rotated, *values; /* (slots, kv_heads * head_dim); keys are as they came */
	uint32_t len;
};

struct weir_reference {
	struct weir_gguf *file;
	char arch[16];
	uint32_t layers, dim, ffn, heads, kv_heads, head_dim, vocab;
	uint32_t rot;	   /* leading dims of a head that RoPE turns */
	bool halves;	   /* pairs are (i, i + rot / 2), not (2i, 2i + 1) */
	float eps;
	uint32_t sinks, window;
	uint32_t slots;	   /* of the cache: what a token can attend to */
	float *cos, *sin;  /* (slots, rot / 2) */
	struct matrix embedding, output, output_norm;
	struct layer *layer;
	float *x, *h, *q, *k, *v, *att, *gate, *up; /* (BATCH, ...) */
	float *scores;	   /* (heads, slots) */
	float *logits;	   /* (BATCH, vocab) */
};

/* ---- loading ---- */

static int param(struct weir_reference *r, const char *key, uint32_t *out, uint32_t absent)
{
	char name[128];
	int err;

	snprintf(name, sizeof(name), "%s.%s", r->arch, key);
	err = weir_gguf_u32(r->file, name, out);
	if (err == -ENOENT && absent) {
		*out = absent;
		return 0;
	}
	if (!err && !*out)
		return weir_fail(EINVAL, "%s is 0", name);
	return err == -ENOENT ? weir_fail(EINVAL, "%s is missing", name) : err;
}

static int param_float(struct weir_reference *r, const char *key, float *out, float absent)
{
	char name[128];
	int err;

	snprintf(name, sizeof(name), "%s.%s", r->arch, key);
	err = weir_gguf_f32(r->file, name, out);
	if (err != -ENOENT)
		return err;
	*out = absent;
	return 0;
}

/* Rows of the file's tensor as float; an absent one leaves w NULL, an error only where it is needed. */
static int matrix_load(struct weir_reference *r, struct matrix *m, const char *name, size_t rows,
	size_t k, bool needed)
{
	const struct weir_gguf_tensor *t = weir_gguf_tensor(r->file, name);

	if (!t)
		return needed ? weir_fail(EINVAL, "tensor %s is missing", name) : 0;
	if (!t->data || t->dim[0] != k || t->weights != (uint64_t)rows * k)
		return weir_fail(EINVAL, "tensor %s is not a known type's %zu x %zu", name, rows, k);
	m->w = malloc(rows * k * sizeof(float));
	if (!m->w)
		return weir_fail(ENOMEM, "no memory for tensor %s", name);
	m->rows = rows;
	m->k = k;
	weir_type_to_float(t->type, t->data, rows * k, m->w);
	return 0;
}

static int layer_load(struct weir_reference *r, uint32_t index)
{
	struct layer *l = &r->layer[index];
	size_t q = (size_t)r->heads * r->head_dim, kv = (size_t)r->kv_heads * r->head_dim;
	const struct {
		struct matrix *m;
		const char *name;
		size_t rows, k;
		bool needed;
	} parts[] = {
		{&l->attn_norm, "attn_norm.weight", 1, r->dim, true},
		{&l->q, "attn_q.weight", q, r->dim, true},
		{&l->k, "attn_k.weight", kv, r->dim, true},
		{&l->v, "attn_v.weight", kv, r->dim, true},
		{&l->q_bias, "attn_q.bias", 1, q, false},
		{&l->k_bias, "attn_k.bias", 1, kv, false},
		{&l->v_bias, "attn_v.bias", 1, kv, false},
		{&l->q_norm, "attn_q_norm.weight", 1, r->head_dim, false},
		{&l->k_norm, "attn_k_norm.weight", 1, r->head_dim, false},
		{&l->o, "attn_output.weight", r->dim, q, true},
		{&l->ffn_norm, "ffn_norm.weight", 1, r->dim, true},
		{&l->gate, "ffn_gate.weight", r->ffn, r->dim, true},
		{&l->up, "ffn_up.weight", r->ffn, r->dim, true},
		{&l->down, "ffn_down.weight", r->dim, r->ffn, true},
	};
	char name[64];
	int err = 0;

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(parts) && !err; i++) {
		snprintf(name, sizeof(name), "blk.%u.%s", index, parts[i].name);
		err = matrix_load(r, parts[i].m, name, parts[i].rows, parts[i].k, parts[i].needed);
	}
	if (err)
		return err;
	l->keys = malloc(r->slots * kv * sizeof(float));
	l->rotated = malloc(r->slots * kv * sizeof(float));
	l->values = malloc(r->slots * kv * sizeof(float));
	if (!l->keys || !l->rotated || !l->values)
		return weir_fail(ENOMEM, "no memory for a cache of %u tokens", r->slots);
	return 0;
}

static int params_load(struct weir_reference *r)
{
	struct weir_str arch;
	const struct weir_gguf_tensor *t = weir_gguf_tensor(r->file, "token_embd.weight");
	uint32_t value_dim;
	int err = weir_gguf_string(r->file, "general.architecture", &arch);

	if (err)
		return err == -ENOENT ? weir_fail(EINVAL, "the file names no architecture") : err;
	snprintf(r->arch, sizeof(r->arch), "%.*s", (int)WEIR_MIN(arch.len, 15), arch.ptr);
	if (strcmp(r->arch, "llama") && strcmp(r->arch, "qwen2") && strcmp(r->arch, "qwen3"))
		return weir_fail(EOPNOTSUPP, "the reference has no architecture %s", r->arch);
	r->halves = r->arch[0] == 'q';
	if (!t)
		return weir_fail(EINVAL, "tensor token_embd.weight is missing");
	r->vocab = (uint32_t)t->dim[1];
	if ((err = param(r, "block_count", &r->layers, 0)) ||
		(err = param(r, "embedding_length", &r->dim, 0)) ||
		(err = param(r, "feed_forward_length", &r->ffn, 0)) ||
		(err = param(r, "attention.head_count", &r->heads, 0)) ||
		(err = param(r, "attention.head_count_kv", &r->kv_heads, r->heads)) ||
		(err = param(r, "attention.key_length", &r->head_dim, r->dim / r->heads)) ||
		(err = param(r, "attention.value_length", &value_dim, r->head_dim)) ||
		(err = param(r, "rope.dimension_count", &r->rot, r->head_dim)) ||
		(err = param_float(r, "attention.layer_norm_rms_epsilon", &r->eps, 1e-5f)))
		return err;
	if (value_dim != r->head_dim || r->rot > r->head_dim || r->rot % 2 ||
		r->heads % r->kv_heads)
		return weir_fail(EOPNOTSUPP, "the reference has no heads of these shapes");
	return 0;
}

/*
 * Angles for each index in the cache, by Su et al. 2021, divided by the linear scaling factor or by
 * one for each frequency (rope_freqs, Llama 3).
 */
static int angles_make(struct weir_reference *r)
{
	struct matrix factors = {0};
	struct weir_str scaling = {0};
	char name[64];
	float base, scale = 1;
	uint32_t half = r->rot / 2;
	int err;

	snprintf(name, sizeof(name), "%s.rope.scaling.type", r->arch);
	err = weir_gguf_string(r->file, name, &scaling);
	if (err && err != -ENOENT)
		return err;
	if (scaling.len == 6 && !memcmp(scaling.ptr, "linear", 6))
		err = param_float(r, "rope.scaling.factor", &scale, 1);
	else if (scaling.len && (scaling.len != 4 || memcmp(scaling.ptr, "none", 4)))
		err = weir_fail(EOPNOTSUPP, "the reference has no RoPE scaling of this type");
	else
		err = 0;
	if (err || (err = param_float(r, "rope.freq_base", &base, 10000)) ||
		(err = matrix_load(r, &factors, "rope_freqs.weight", 1, half, false)))
		return err;

	r->cos = malloc((size_t)r->slots * half * sizeof(float));
	r->sin = malloc((size_t)r->slots * half * sizeof(float));
	if (!r->cos || !r->sin)
		err = weir_fail(ENOMEM, "no memory for the angles of %u positions", r->slots);
	for (size_t i = 0; i < half && !err; i++) {
		double f = pow(base, -2.0 * i / r->rot) / scale / (factors.w ? factors.w[i] : 1);

		for (size_t p = 0; p < r->slots; p++) {
			r->cos[p * half + i] = (float)cos(p * f);
			r->sin[p * half + i] = (float)sin(p * f);
		}
	}
	free(factors.w);
	return err;
}

static int scratch_make(struct weir_reference *r)
{
	size_t q = (size_t)r->heads * r->head_dim, kv = (size_t)r->kv_heads * r->head_dim;
	const struct {
		float **p;
		size_t n;
	} parts[] = {
		{&r->x, r->dim}, {&r->h, r->dim}, {&r->q, q}, {&r->k, kv}, {&r->v, kv},
		{&r->att, q}, {&r->gate, r->ffn}, {&r->up, r->ffn}, {&r->logits, r->vocab},
	};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(parts); i++) {
		*parts[i].p = malloc(BATCH * parts[i].n * sizeof(float));
		if (!*parts[i].p)
			return weir_fail(ENOMEM, "no memory for activations");
	}
	r->scores = malloc((size_t)r->heads * r->slots * sizeof(float));
	return r->scores ? 0 : weir_fail(ENOMEM, "no memory for scores");
}

static int reference_load(struct weir_reference *r, uint32_t context)
{
	uint32_t trained;
	int err = params_load(r);

	if (err || (err = param(r, "context_length", &trained, 0)))
		return err;
	r->slots = context ? context : WEIR_MIN(trained, 4096);
	if (r->window)
		r->slots = r->sinks + r->window;
	r->layer = calloc(r->layers, sizeof(*r->layer));
	if (!r->layer)
		return weir_fail(ENOMEM, "no memory for %u layers", r->layers);
	if ((err = matrix_load(r, &r->embedding, "token_embd.weight", r->vocab, r->dim, true)) ||
		(err = matrix_load(r, &r->output, "output.weight", r->vocab, r->dim, false)) ||
		(err = matrix_load(r, &r->output_norm, "output_norm.weight", 1, r->dim, true)) ||
		(err = angles_make(r)) || (err = scratch_make(r)))
		return err;
	for (uint32_t i = 0; i < r->layers && !err; i++)
		err = layer_load(r, i);
	return err;
}

int weir_reference_open(struct weir_reference **out, const char *path, uint32_t context,
	uint32_t sinks, uint32_t window)
{
	struct weir_reference *r = calloc(1, sizeof(*r));
	int err;

	*out = NULL;
	if (!r)
		return weir_fail(ENOMEM, "no memory for the reference");
	r->sinks = sinks;
	r->window = window;
	err = weir_gguf_open(path, &r->file);
	if (!err) {
		err = reference_load(r, context);
		if (err)
			weir_fail_in(err, "%s", path);
	}
	weir_gguf_close(r->file);
	r->file = NULL;
	if (err) {
		weir_reference_close(r);
		return err;
	}
	*out = r;
	return 0;
}

static void layer_free(struct layer *l)
{
	const struct matrix *all[] = {&l->attn_norm, &l->ffn_norm, &l->q, &l->k, &l->v, &l->o,
		&l->q_bias, &l->k_bias, &l->v_bias, &l->q_norm, &l->k_norm, &l->gate, &l->up,
		&l->down};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(all); i++)
		free(all[i]->w);
	free(l->keys);
	free(l->rotated);
	free(l->values);
}

void weir_reference_close(struct weir_reference *r)
{
	if (!r)
		return;
	for (uint32_t i = 0; r->layer && i < r->layers; i++)
		layer_free(&r->layer[i]);
	free(r->layer);
	free(r->embedding.w);
	free(r->output.w);
	free(r->output_norm.w);
	float *all[] = {r->cos, r->sin, r->x, r->h, r->q, r->k, r->v, r->att, r->gate, r->up,
		r->scores, r->logits};
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(all); i++)
		free(all[i]);
	free(r);
}

void weir_reference_reset(struct weir_reference *r)
{
	for (uint32_t i = 0; i < r->layers; i++)
		r->layer[i].len = 0;
}

uint32_t weir_reference_vocabulary(const struct weir_reference *r)
{
	return r->vocab;
}

/* ---- arithmetic ---- */

/* Independent lanes let a compiler use vectors without reordering any sum. */
static float dot(const float *a, const float *b, size_t n)
{
	float lane[LANES] = {0};
	double sum = 0;
	size_t i = 0;

	for (; i + LANES <= n; i += LANES)
		for (size_t j = 0; j < LANES; j++)
			lane[j] += a[i + j] * b[i + j];
	for (; i < n; i++)
		sum += (double)a[i] * b[i];
	for (size_t j = 0; j < LANES; j++)
		sum += lane[j];
	return (float)sum;
}

struct product {
	const struct matrix *m, *bias;
	const float *x; /* (n, k) */
	float *y;	/* (n, rows) */
	size_t n;
};

static int product_rows(void *user, size_t begin, size_t end)
{
	const struct product *p = user;
	const struct matrix *m = p->m;

	for (size_t row = begin; row < end; row++)
		for (size_t t = 0; t < p->n; t++)
			p->y[t * m->rows + row] = dot(&m->w[row * m->k], &p->x[t * m->k], m->k) +
				(p->bias && p->bias->w ? p->bias->w[row] : 0);
	return 0;
}

/* y = m x + bias for n tokens; bias may be NULL. */
static void multiply(const struct matrix *m, const struct matrix *bias, const float *x, float *y,
	size_t n)
{
	struct product p = {.m = m, .bias = bias, .x = x, .y = y, .n = n};

	weir_parallel(THREADS, m->rows, ROW_CHUNK, product_rows, &p); /* product_rows cannot fail */
}

/* RMSNorm (Zhang and Sennrich 2019) of n rows; out may be x. */
static void norm(const struct weir_reference *r, const struct matrix *weight, const float *x,
	float *out, size_t n)
{
	size_t k = weight->k;

	for (size_t t = 0; t < n; t++, x += k, out += k) {
		double sum = 0;

		for (size_t i = 0; i < k; i++)
			sum += (double)x[i] * x[i];
		double scale = 1 / sqrt(sum / k + r->eps);
		for (size_t i = 0; i < k; i++)
			out[i] = (float)(x[i] * scale) * weight->w[i];
	}
}

/* Turns heads of one token to index at of the cache. out may be x. */
static void rotate(const struct weir_reference *r, const float *x, float *out, uint32_t heads,
	uint32_t at)
{
	size_t half = r->rot / 2;
	const float *c = &r->cos[at * half], *s = &r->sin[at * half];

	for (uint32_t h = 0; h < heads; h++, x += r->head_dim, out += r->head_dim) {
		for (size_t i = 0; i < half; i++) {
			size_t a = r->halves ? i : 2 * i, b = r->halves ? i + half : 2 * i + 1;
			float xa = x[a], xb = x[b];

			out[a] = xa * c[i] - xb * s[i];
			out[b] = xa * s[i] + xb * c[i];
		}
		for (size_t i = r->rot; i < r->head_dim && out != x; i++)
			out[i] = x[i];
	}
}

/* ---- attention ---- */

/* The oldest token of the window goes; those behind it move up, and so get new angles. */
static void layer_evict(const struct weir_reference *r, struct layer *l)
{
	size_t kv = (size_t)r->kv_heads * r->head_dim, rest = l->len - r->sinks - 1;
	float *keys = &l->keys[r->sinks * kv], *values = &l->values[r->sinks * kv];

	memmove(keys, keys + kv, rest * kv * sizeof(float));
	memmove(values, values + kv, rest * kv * sizeof(float));
	l->len--;
	for (uint32_t i = r->sinks; i < l->len; i++)
		rotate(r, &l->keys[i * kv], &l->rotated[i * kv], r->kv_heads, i);
}

static void layer_append(const struct weir_reference *r, struct layer *l, const float *k,
	const float *v)
{
	size_t kv = (size_t)r->kv_heads * r->head_dim;

	if (l->len == r->slots)
		layer_evict(r, l);
	memcpy(&l->keys[l->len * kv], k, kv * sizeof(float));
	memcpy(&l->values[l->len * kv], v, kv * sizeof(float));
	rotate(r, k, &l->rotated[l->len * kv], r->kv_heads, l->len);
	l->len++;
}

struct attention {
	const struct weir_reference *r;
	const struct layer *l;
	const float *q; /* (heads, head_dim), rotated */
	float *out;	/* the same shape */
};

static int attention_heads(void *user, size_t begin, size_t end)
{
	const struct attention *a = user;
	const struct weir_reference *r = a->r;
	size_t d = r->head_dim, kv = r->kv_heads * d, len = a->l->len;

	for (size_t h = begin; h < end; h++) {
		size_t shared = h / (r->heads / r->kv_heads) * d;
		float *score = &r->scores[h * r->slots], *out = &a->out[h * d], max = -INFINITY;
		double sum = 0;

		for (size_t i = 0; i < len; i++) {
			score[i] = dot(&a->q[h * d], &a->l->rotated[i * kv + shared], d) / sqrtf(d);
			max = WEIR_MAX(max, score[i]);
		}
		for (size_t i = 0; i < len; i++)
			sum += score[i] = expf(score[i] - max);
		memset(out, 0, d * sizeof(float));
		for (size_t i = 0; i < len; i++) {
			const float *value = &a->l->values[i * kv + shared];
			float p = (float)(score[i] / sum);

			for (size_t j = 0; j < d; j++)
				out[j] += p * value[j];
		}
	}
	return 0;
}

/* Attention of n tokens, each seeing those before it. */
static void layer_attend(struct weir_reference *r, struct layer *l, size_t n)
{
	size_t q = (size_t)r->heads * r->head_dim, kv = (size_t)r->kv_heads * r->head_dim;

	for (size_t t = 0; t < n; t++) {
		struct attention a = {.r = r, .l = l, .q = &r->q[t * q], .out = &r->att[t * q]};

		layer_append(r, l, &r->k[t * kv], &r->v[t * kv]);
		/* Its key was the last to be added, so min(position, length - 1) is its index. */
		rotate(r, &r->q[t * q], &r->q[t * q], r->heads, l->len - 1);
		weir_parallel(THREADS, r->heads, 1, attention_heads, &a);
	}
}

/* ---- decoder ---- */

static void add(float *x, const float *y, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] += y[i];
}

static void layer_run(struct weir_reference *r, struct layer *l, size_t n)
{
	norm(r, &l->attn_norm, r->x, r->h, n);
	multiply(&l->q, &l->q_bias, r->h, r->q, n);
	multiply(&l->k, &l->k_bias, r->h, r->k, n);
	multiply(&l->v, &l->v_bias, r->h, r->v, n);
	if (l->q_norm.w)
		norm(r, &l->q_norm, r->q, r->q, n * r->heads);
	if (l->k_norm.w)
		norm(r, &l->k_norm, r->k, r->k, n * r->kv_heads);
	layer_attend(r, l, n);
	multiply(&l->o, NULL, r->att, r->h, n);
	add(r->x, r->h, n * r->dim);

	norm(r, &l->ffn_norm, r->x, r->h, n);
	multiply(&l->gate, NULL, r->h, r->gate, n);
	multiply(&l->up, NULL, r->h, r->up, n);
	for (size_t i = 0; i < n * r->ffn; i++) /* SwiGLU (Shazeer 2020) */
		r->gate[i] = r->gate[i] / (1 + expf(-r->gate[i])) * r->up[i];
	multiply(&l->down, NULL, r->gate, r->h, n);
	add(r->x, r->h, n * r->dim);
}

/* Logits after each of n tokens, at most BATCH, into r->logits. */
static int batch_run(struct weir_reference *r, const int32_t *tokens, size_t n)
{
	if (!r->window && n > r->slots - r->layer[0].len)
		return weir_fail(ENOSPC, "the reference's context of %u tokens is full", r->slots);
	for (size_t t = 0; t < n; t++) {
		if (tokens[t] < 0 || (uint32_t)tokens[t] >= r->vocab)
			return weir_fail(EINVAL, "token %d is not one of %u", tokens[t], r->vocab);
		memcpy(&r->x[t * r->dim], &r->embedding.w[(size_t)tokens[t] * r->dim],
			r->dim * sizeof(float));
	}
	for (uint32_t i = 0; i < r->layers; i++)
		layer_run(r, &r->layer[i], n);
	norm(r, &r->output_norm, r->x, r->h, n);
	multiply(r->output.w ? &r->output : &r->embedding, NULL, r->h, r->logits, n);
	return 0;
}

const float *weir_reference_feed(struct weir_reference *r, int32_t token)
{
	return batch_run(r, &token, 1) ? NULL : r->logits;
}

int weir_reference_feed_each(struct weir_reference *r, const int32_t *tokens, size_t n,
	int (*fn)(void *user, size_t i, const float *logits), void *user)
{
	for (size_t at = 0; at < n; at += BATCH) {
		size_t part = WEIR_MIN(n - at, (size_t)BATCH);
		int err = batch_run(r, tokens + at, part);

		for (size_t t = 0; t < part && !err; t++)
			err = fn(user, at + t, &r->logits[t * r->vocab]);
		if (err)
			return err;
	}
	return 0;
}
