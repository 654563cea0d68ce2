/* SPDX-License-Identifier: MIT */
/* Writes random models and opens what suites run. */
#include <math.h>

#include "base/base.h"
#include "gguf_writer.h"
#include "models.h"
#include "suite.h"

static uint32_t next(uint32_t *x)
{
	*x = *x * 1664525 + 1013904223;
	return *x >> 8;
}

static float uniform(uint32_t *x, float range)
{
	return ((float)next(x) / (1 << 24) * 2 - 1) * range;
}

/* Puts a sane half where a block has a scale: bytes at random would be infinite now and then. */
static void scale_at(unsigned char *block, size_t offset, uint32_t *x, float range)
{
	uint16_t h = weir_float_to_half(range * (0.5f + fabsf(uniform(x, 0.5f))));

	memcpy(block + offset, &h, sizeof(h));
}

/* One block of a type, weights of about the given range. */
static void block_make(enum weir_type type, unsigned char *block, size_t size, uint32_t *x, float range)
{
	for (size_t i = 0; i < size; i++)
		block[i] = (unsigned char)next(x);
	switch (type) {
	case WEIR_TYPE_Q4_0:
		scale_at(block, 0, x, range / 8);
		break;
	case WEIR_TYPE_Q4_1:
	case WEIR_TYPE_Q5_1:
		scale_at(block, 0, x, range / (type == WEIR_TYPE_Q4_1 ? 8 : 16));
		scale_at(block, 2, x, -range);
		break;
	case WEIR_TYPE_Q5_0:
		scale_at(block, 0, x, range / 16);
		break;
	case WEIR_TYPE_Q8_0:
		scale_at(block, 0, x, range / 127);
		break;
	case WEIR_TYPE_Q2_K:
		scale_at(block, 80, x, range / 24);
		scale_at(block, 82, x, range / 16);
		break;
	case WEIR_TYPE_Q3_K:
		scale_at(block, 108, x, range / 64);
		break;
	case WEIR_TYPE_Q4_K:
	case WEIR_TYPE_Q5_K:
		/* Scales and minimums of their own for each 32 double the spread. */
		scale_at(block, 0, x, range / (type == WEIR_TYPE_Q4_K ? 8 : 16) / 64);
		scale_at(block, 2, x, range / 64);
		break;
	case WEIR_TYPE_Q6_K:
		scale_at(block, 208, x, range / 32 / 64);
		break;
	default:
		break;
	}
}

static void value_make(enum weir_type type, unsigned char *at, uint32_t *x, float range)
{
	float f = uniform(x, range);
	uint32_t bits;
	uint16_t h = weir_float_to_half(f);

	memcpy(&bits, &f, sizeof(bits));
	if (type == WEIR_TYPE_F32)
		memcpy(at, &f, sizeof(f));
	else if (type == WEIR_TYPE_F16)
		memcpy(at, &h, sizeof(h));
	else {
		h = (uint16_t)(bits >> 16);
		memcpy(at, &h, sizeof(h));
	}
}

static void matrix(struct gguf_writer *w, const char *name, enum weir_type type, uint64_t k, uint64_t rows,
	uint32_t *x)
{
	size_t weights, bytes, n;
	unsigned char *data;
	/* Keeps the size of activations from layer to layer. */
	float range = sqrtf(3.0f / (float)k);

	ck_assert(weir_type_block(type, &weights, &bytes));
	ck_assert_uint_eq(k % weights, 0);
	n = k * rows / weights;
	data = malloc(n * bytes);
	ck_assert(data);
	for (size_t i = 0; i < n; i++) {
		if (weights == 1)
			value_make(type, data + i * bytes, x, range);
		else
			block_make(type, data + i * bytes, bytes, x, range);
	}
	gguf_writer_tensor(w, name, type, 2, (uint64_t[]){k, rows}, data);
	free(data);
}

static void vector(struct gguf_writer *w, const char *name, uint64_t n, float middle, float range, uint32_t *x)
{
	float *data = malloc(n * sizeof(*data));

	ck_assert(data);
	for (uint64_t i = 0; i < n; i++)
		data[i] = middle + uniform(x, range);
	gguf_writer_tensor(w, name, WEIR_TYPE_F32, 1, (uint64_t[]){n}, data);
	free(data);
}

static void layer(struct gguf_writer *w, const struct model_shape *s, unsigned i, uint32_t *x)
{
	uint32_t hd = s->head_dim ? s->head_dim : s->dim / s->heads;
	enum weir_type mixed = s->mixed ? s->mixed : s->type;
	char name[64];

#define NAME(what) (snprintf(name, sizeof(name), "blk.%u." what, i), name)
	vector(w, NAME("attn_norm.weight"), s->dim, 1, 0.2f, x);
	matrix(w, NAME("attn_q.weight"), s->type, s->dim, (uint64_t)s->heads * hd, x);
	matrix(w, NAME("attn_k.weight"), s->type, s->dim, (uint64_t)s->kv_heads * hd, x);
	matrix(w, NAME("attn_v.weight"), mixed, s->dim, (uint64_t)s->kv_heads * hd, x);
	if (s->bias) {
		vector(w, NAME("attn_q.bias"), (uint64_t)s->heads * hd, 0, 0.5f, x);
		vector(w, NAME("attn_k.bias"), (uint64_t)s->kv_heads * hd, 0, 0.5f, x);
		vector(w, NAME("attn_v.bias"), (uint64_t)s->kv_heads * hd, 0, 0.5f, x);
	}
	if (!strcmp(s->arch, "qwen3")) {
		vector(w, NAME("attn_q_norm.weight"), hd, 1, 0.2f, x);
		vector(w, NAME("attn_k_norm.weight"), hd, 1, 0.2f, x);
	}
	matrix(w, NAME("attn_output.weight"), s->type, (uint64_t)s->heads * hd, s->dim, x);
	vector(w, NAME("ffn_norm.weight"), s->dim, 1, 0.2f, x);
	matrix(w, NAME("ffn_gate.weight"), s->type, s->dim, s->ff, x);
	matrix(w, NAME("ffn_up.weight"), s->type, s->dim, s->ff, x);
	matrix(w, NAME("ffn_down.weight"), mixed, s->ff, s->dim, x);
#undef NAME
}

static void metadata(struct gguf_writer *w, const struct model_shape *s)
{
	uint32_t hd = s->head_dim ? s->head_dim : s->dim / s->heads;
	char key[96];

#define KEY(what) (snprintf(key, sizeof(key), "%s." what, s->arch), key)
	gguf_writer_string(w, "general.architecture", s->arch);
	gguf_writer_u32(w, KEY("block_count"), s->layers);
	gguf_writer_u32(w, KEY("context_length"), 4096);
	gguf_writer_u32(w, KEY("embedding_length"), s->dim);
	gguf_writer_u32(w, KEY("feed_forward_length"), s->ff);
	gguf_writer_u32(w, KEY("attention.head_count"), s->heads);
	gguf_writer_u32(w, KEY("attention.head_count_kv"), s->kv_heads);
	gguf_writer_f32(w, KEY("attention.layer_norm_rms_epsilon"), 1e-6f);
	gguf_writer_f32(w, KEY("rope.freq_base"), 20000);
	gguf_writer_u32(w, KEY("rope.dimension_count"), s->n_rot ? s->n_rot : hd);
	if (s->head_dim) {
		gguf_writer_u32(w, KEY("attention.key_length"), hd);
		gguf_writer_u32(w, KEY("attention.value_length"), hd);
	}
	if (s->linear_scale > 0) {
		gguf_writer_string(w, KEY("rope.scaling.type"), "linear");
		gguf_writer_f32(w, KEY("rope.scaling.factor"), s->linear_scale);
	}
#undef KEY
	gguf_writer_string(w, "tokenizer.ggml.model", "no_vocab");
}

char *model_write(const struct model_shape *s, uint32_t seed)
{
	char *path = strdup("/tmp/weir-model-XXXXXX");
	struct gguf_writer *w = gguf_writer_new(3);
	uint32_t x = seed, hd = s->head_dim ? s->head_dim : s->dim / s->heads;
	int fd = mkstemp(path);

	ck_assert(path && fd >= 0);
	close(fd);
	metadata(w, s);
	matrix(w, "token_embd.weight", s->type, s->dim, s->vocab, &x);
	for (unsigned i = 0; i < s->layers; i++)
		layer(w, s, i, &x);
	vector(w, "output_norm.weight", s->dim, 1, 0.2f, &x);
	if (s->untied)
		matrix(w, "output.weight", s->type, s->dim, s->vocab, &x);
	if (s->rope_factors)
		vector(w, "rope_freqs.weight", (s->n_rot ? s->n_rot : hd) / 2, 4, 3, &x);
	ck_assert_int_eq(gguf_writer_save(w, path), 0);
	gguf_writer_free(w);
	return path;
}

weir_device *model_device(const char *tier, const char *schedule, unsigned threads, enum weir_provider provider)
{
	return model_device_with(tier, schedule, threads, provider, NULL);
}

weir_device *model_device_with(const char *tier, const char *schedule, unsigned threads, enum weir_provider provider,
	const char *plan)
{
	struct weir_device_settings set;
	weir_device *dev;

	weir_device_settings_default(&set);
	set.device = getenv("WEIR_TEST_DEVICE");
	set.tier = tier;
	set.schedule = schedule;
	set.threads = threads;
	set.provider = provider;
	set.plan = plan;
	ck_assert_msg(!weir_device_open(&dev, &set), "%s", weir_error());
	return dev;
}

weir_model *model_open(weir_device *dev, const char *path)
{
	weir_model *m;

	ck_assert_msg(!weir_model_load(&m, dev, path, NULL), "%s", weir_error());
	return m;
}

weir_session *model_session(weir_model *m, enum weir_kv kv, uint32_t ctx, uint32_t sinks, uint32_t window,
	uint32_t batch)
{
	struct weir_session_settings set;
	weir_session *s;

	weir_session_settings_default(&set);
	set.kv = kv;
	set.ctx = ctx;
	set.sinks = sinks;
	set.window = window;
	set.batch = batch;
	ck_assert_msg(!weir_session_create(&s, m, &set), "%s", weir_error());
	return s;
}

void model_tokens(int32_t *tokens, size_t n, uint32_t vocab, uint32_t seed)
{
	for (size_t i = 0; i < n; i++)
		tokens[i] = (int32_t)(next(&seed) % vocab);
}

double model_distance(const float *a, const float *b, size_t n)
{
	double d = 0, s = 0;

	for (size_t i = 0; i < n; i++) {
		d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
		s += (double)b[i] * b[i];
	}
	return s > 0 ? sqrt(d / s) : sqrt(d);
}

struct text {
	char *bytes;
	size_t len;
};

static int text_add(void *user, int32_t token, const char *bytes, size_t len)
{
	struct text *t = user;

	(void)token;
	t->bytes = realloc(t->bytes, t->len + len + 1);
	ck_assert(t->bytes);
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
	t->bytes[t->len] = '\0';
	return 0;
}

char *model_greedy(weir_session *s, weir_model *m, const char *prompt, size_t n)
{
	struct text text = {calloc(1, 1), 0};
	struct weir_sampling sampling;
	int32_t tokens[512];
	int64_t count = weir_tokenize(weir_model_tokenizer(m), prompt, strlen(prompt), WEIR_TOKENIZE_BOS, tokens,
		512);
	enum weir_stop stop;

	ck_assert(count > 0 && count <= 512);
	weir_sampling_default(&sampling);
	sampling.temperature = 0;
	ck_assert_int_eq(weir_session_sampling(s, &sampling), 0);
	ck_assert_msg(!weir_session_feed(s, tokens, (size_t)count, NULL, NULL), "%s", weir_error());
	ck_assert_msg(!weir_session_generate(s, n, text_add, &text, &stop), "%s", weir_error());
	return text.bytes;
}
