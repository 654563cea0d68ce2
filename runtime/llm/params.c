/* SPDX-License-Identifier: MIT */
/* Reads the metadata of the architectures that Weir runs, and refuses by name what it does not. */
#include <math.h>
#include <stdarg.h>

#include "base/base.h"
#include "llm/params.h"

struct arch {
	const char *name;
	enum weir_rope_layout rope;
	bool qk_norm;
};

static const struct arch archs[] = {
	{"llama", WEIR_ROPE_ADJACENT, false}, /* Llama 1 to 3, Mistral, TinyLlama, SmolLM2 */
	{"qwen2", WEIR_ROPE_HALVES, false},
	{"qwen3", WEIR_ROPE_HALVES, true},
};

/* Bounds that no model comes near, so that products of shapes stay far from overflow. */
#define MAX_LAYERS 1024
#define MAX_DIM (1u << 20)
#define MAX_HEADS 4096
#define MAX_HEAD_DIM 256
#define MAX_GROUP 16 /* query heads that share a kv head: as attention.cl holds them */
#define MAX_CONTEXT (1u << 27)

static const struct arch *arch_find(const struct weir_str *name)
{
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(archs); i++)
		if (strlen(archs[i].name) == name->len && !memcmp(archs[i].name, name->ptr, name->len))
			return &archs[i];
	return NULL;
}

static int bad(const struct weir_gguf *g, const char *fmt, ...) WEIR_PRINTF(2, 3);
static int bad(const struct weir_gguf *g, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return weir_fail(EINVAL, "cannot load %s: %s", weir_gguf_path(g), text);
}

static void key_of(char *key, size_t size, const struct weir_params *p, const char *name)
{
	snprintf(key, size, "%s.%s", p->arch, name);
}

/* The key <arch>.<name>, from 1 to max; absent: fallback, or an error where that is 0. */
static int read_u32(const struct weir_gguf *g, const struct weir_params *p, const char *name,
	uint32_t max, uint32_t fallback, uint32_t *out)
{
	char key[96];
	int err;

	key_of(key, sizeof(key), p, name);
	err = weir_gguf_u32(g, key, out);
	if (err == -ENOENT && fallback) {
		*out = fallback;
		return 0;
	}
	if (err == -ENOENT)
		return bad(g, "the key %s is missing", key);
	if (err)
		return err;
	if (!*out || *out > max)
		return bad(g, "%s is %u, it must be from 1 to %u", key, *out, max);
	return 0;
}

static int read_f32(const struct weir_gguf *g, const struct weir_params *p, const char *name, float *out)
{
	char key[96];
	int err;

	key_of(key, sizeof(key), p, name);
	err = weir_gguf_f32(g, key, out);
	return err == -ENOENT ? 0 : err;
}

static int refuse_unless_absent(const struct weir_gguf *g, const struct weir_params *p, const char *name,
	const char *what)
{
	char key[96];
	uint32_t v = 0;
	int err;

	key_of(key, sizeof(key), p, name);
	err = weir_gguf_u32(g, key, &v);
	if (err == -ENOENT || (!err && !v))
		return 0;
	return err ? err : bad(g, "%s is %u: %s is not supported", key, v, what);
}

/* How positions are scaled: nothing, or linear; per-pair factors (Llama 3) come as a tensor. */
static int read_scaling(const struct weir_gguf *g, const struct weir_params *p, float *factor)
{
	struct weir_str type;
	char key[96];
	int err;

	*factor = 1;
	key_of(key, sizeof(key), p, "rope.scaling.type");
	err = weir_gguf_string(g, key, &type);
	if (err == -ENOENT) {
		/* The older key of linear scaling alone. */
		err = read_f32(g, p, "rope.scale_linear", factor);
	} else if (!err && type.len == 6 && !memcmp(type.ptr, "linear", 6)) {
		err = read_f32(g, p, "rope.scaling.factor", factor);
	} else if (!err && !(type.len == 4 && !memcmp(type.ptr, "none", 4)) &&
		   !(type.len == 6 && !memcmp(type.ptr, "llama3", 6))) {
		err = bad(g, "%s is %.*s: Weir knows none, linear and llama3", key,
			(int)WEIR_MIN(type.len, 32), type.ptr);
	}
	if (!err && !(*factor > 0 && *factor < 1e6f))
		err = bad(g, "the scaling factor of RoPE is %g", *factor);
	return err;
}

/* Su et al. 2021: base^(-2i/n_rot); Llama 3's factors divide the frequency of each pair. */
static int read_frequencies(const struct weir_gguf *g, struct weir_params *p)
{
	const struct weir_gguf_tensor *t = weir_gguf_tensor(g, "rope_freqs.weight");
	float base = 10000, factor;
	int err = read_f32(g, p, "rope.freq_base", &base);

	if (!err)
		err = read_scaling(g, p, &factor);
	if (err)
		return err;
	if (!(base > 1))
		return bad(g, "%s.rope.freq_base is %g, it must be more than 1", p->arch, base);
	if (t && (t->type != WEIR_TYPE_F32 || t->weights != p->n_rot / 2))
		return bad(g, "the tensor rope_freqs.weight must be %u F32 values", p->n_rot / 2);
	for (uint32_t i = 0; i < p->n_rot / 2; i++) {
		float f = 1;

		if (t)
			memcpy(&f, (const char *)t->data + 4 * i, sizeof(f));
		if (!(f > 0 && f < 1e9f))
			return bad(g, "rope_freqs.weight has the factor %g", f);
		p->freq[i] = pow(base, -2.0 * i / p->n_rot) / f / factor;
	}
	return 0;
}

static int read_heads(const struct weir_gguf *g, struct weir_params *p)
{
	uint32_t value_dim;
	int err;

	if ((err = read_u32(g, p, "attention.head_count", MAX_HEADS, 0, &p->heads)) ||
		(err = read_u32(g, p, "attention.head_count_kv", MAX_HEADS, p->heads, &p->kv_heads)))
		return err;
	if (p->heads % p->kv_heads || p->heads / p->kv_heads > MAX_GROUP)
		return bad(g, "%u heads share %u kv heads: the first must be 1 to %d times the second",
			p->heads, p->kv_heads, MAX_GROUP);
	if ((err = read_u32(g, p, "attention.key_length", MAX_HEAD_DIM,
		     WEIR_MAX(p->dim / p->heads, 1), &p->head_dim)) ||
		(err = read_u32(g, p, "attention.value_length", MAX_HEAD_DIM, p->head_dim, &value_dim)) ||
		(err = read_u32(g, p, "rope.dimension_count", p->head_dim, p->head_dim, &p->n_rot)))
		return err;
	if (p->head_dim > MAX_HEAD_DIM || p->head_dim % 4 || p->n_rot % 2)
		return bad(g, "heads of %u with %u rotated: at most %d, a multiple of 4, and an even number",
			p->head_dim, p->n_rot, MAX_HEAD_DIM);
	if (value_dim != p->head_dim)
		return bad(g, "values of %u beside keys of %u are not supported", value_dim, p->head_dim);
	return 0;
}

int weir_params_read(const struct weir_gguf *g, struct weir_params *p)
{
	const struct weir_gguf_tensor *embd;
	const struct arch *arch;
	struct weir_str name;
	int err = weir_gguf_string(g, "general.architecture", &name);

	memset(p, 0, sizeof(*p));
	if (err == -ENOENT)
		return bad(g, "the key general.architecture is missing");
	if (err)
		return err;
	arch = arch_find(&name);
	if (!arch)
		return weir_fail(EOPNOTSUPP,
			"cannot load %s: the architecture %.*s is not one that Weir runs (llama, qwen2, qwen3)",
			weir_gguf_path(g), (int)WEIR_MIN(name.len, 64), name.ptr);
	snprintf(p->arch, sizeof(p->arch), "%s", arch->name);
	p->rope = arch->rope;
	p->qk_norm = arch->qk_norm;
	if ((err = read_u32(g, p, "block_count", MAX_LAYERS, 0, &p->layers)) ||
		(err = read_u32(g, p, "embedding_length", MAX_DIM, 0, &p->dim)) ||
		(err = read_u32(g, p, "feed_forward_length", MAX_DIM, 0, &p->ff)) ||
		(err = read_u32(g, p, "context_length", MAX_CONTEXT, 2048, &p->context)) ||
		(err = refuse_unless_absent(g, p, "expert_count", "a mixture of experts")) ||
		(err = read_heads(g, p)))
		return err;
	p->eps = 1e-5f;
	err = read_f32(g, p, "attention.layer_norm_rms_epsilon", &p->eps);
	if (err)
		return err;
	if (!(p->eps >= 0 && p->eps < 1))
		return bad(g, "%s.attention.layer_norm_rms_epsilon is %g", p->arch, p->eps);
	embd = weir_gguf_tensor(g, "token_embd.weight");
	if (!embd)
		return bad(g, "the tensor token_embd.weight is missing");
	if (embd->dim[1] > (1u << 24))
		return bad(g, "token_embd.weight has rows for %llu tokens", (unsigned long long)embd->dim[1]);
	p->vocab = (uint32_t)embd->dim[1];
	return read_frequencies(g, p);
}

void weir_params_fingerprint(const struct weir_gguf *g, struct weir_hash *h)
{
	char text[256];

	weir_hash_init(h);
	for (size_t i = 0; i < weir_gguf_tensor_count(g); i++) {
		const struct weir_gguf_tensor *t = weir_gguf_tensor_at(g, i);
		int n = snprintf(text, sizeof(text), "%s %u %llu %llu %llu;", t->name, t->type,
			(unsigned long long)t->dim[0], (unsigned long long)t->dim[1],
			(unsigned long long)t->offset);

		weir_hash_add(h, text, (size_t)WEIR_MIN(n, (int)sizeof(text) - 1));
		/* A few weights of each, so that two trainings of one shape differ. */
		if (t->data)
			weir_hash_add(h, t->data, WEIR_MIN(t->size, 64));
	}
	for (size_t i = 0; i < weir_gguf_meta_count(g); i++) {
		enum weir_gguf_value type;
		struct weir_str key;

		if (weir_gguf_meta(g, i, &key, &type) || type == WEIR_GGUF_ARRAY)
			continue;
		weir_gguf_meta_text(g, i, text, sizeof(text));
		weir_hash_add(h, key.ptr, key.len);
		weir_hash_add(h, text, strlen(text));
	}
}
