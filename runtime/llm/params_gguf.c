/* SPDX-License-Identifier: MIT */
/* A decoder's shape from a GGUF file's metadata. */
#include <math.h>

#include "llm/params_read.h"

static void key_of(char *key, size_t size, const struct weir_params *p, const char *name)
{
	snprintf(key, size, "%s.%s", p->arch, name);
}

/* The key <arch>.<name>, from 1 to max; absent: fallback, or an error where that is 0. */
static int read_u32(const struct weir_checkpoint *c, const struct weir_params *p, const char *name,
	uint32_t max, uint32_t fallback, uint32_t *out)
{
	char key[96];
	int err;

	key_of(key, sizeof(key), p, name);
	err = weir_gguf_u32(weir_checkpoint_gguf(c), key, out);
	if (err == -ENOENT && fallback) {
		*out = fallback;
		return 0;
	}
	if (err == -ENOENT)
		return weir_params_fail(c, "the key %s is missing", key);
	if (err)
		return err;
	if (!*out || *out > max)
		return weir_params_fail(c, "%s is %u, it must be from 1 to %u", key, *out, max);
	return 0;
}

static int read_f32(const struct weir_checkpoint *c, const struct weir_params *p, const char *name, float *out)
{
	char key[96];
	int err;

	key_of(key, sizeof(key), p, name);
	err = weir_gguf_f32(weir_checkpoint_gguf(c), key, out);
	return err == -ENOENT ? 0 : err;
}

static int refuse_unless_absent(const struct weir_checkpoint *c, const struct weir_params *p, const char *name,
	const char *what)
{
	char key[96];
	uint32_t v = 0;
	int err;

	key_of(key, sizeof(key), p, name);
	err = weir_gguf_u32(weir_checkpoint_gguf(c), key, &v);
	if (err == -ENOENT || (!err && !v))
		return 0;
	return err ? err : weir_params_fail(c, "%s is %u: %s is not supported", key, v, what);
}

/* How positions are scaled: nothing, or linear; per-pair factors (Llama 3) come as a tensor. */
static int read_scaling(const struct weir_checkpoint *c, const struct weir_params *p, float *factor)
{
	struct weir_str type;
	char key[96];
	int err;

	*factor = 1;
	key_of(key, sizeof(key), p, "rope.scaling.type");
	err = weir_gguf_string(weir_checkpoint_gguf(c), key, &type);
	if (err == -ENOENT) {
		/* The older key of linear scaling alone. */
		err = read_f32(c, p, "rope.scale_linear", factor);
	} else if (!err && type.len == 6 && !memcmp(type.ptr, "linear", 6)) {
		err = read_f32(c, p, "rope.scaling.factor", factor);
	} else if (!err && !(type.len == 4 && !memcmp(type.ptr, "none", 4)) &&
		   !(type.len == 6 && !memcmp(type.ptr, "llama3", 6))) {
		err = weir_params_fail(c, "%s is %.*s: Weir knows none, linear and llama3", key,
			(int)WEIR_MIN(type.len, 32), type.ptr);
	}
	if (!err && !(*factor > 0 && *factor < 1e6f))
		err = weir_params_fail(c, "the scaling factor of RoPE is %g", *factor);
	return err;
}

/* Su et al. 2021: base^(-2i/n_rot); Llama 3's factors divide the frequency of each pair. */
static int read_frequencies(const struct weir_checkpoint *c, struct weir_params *p)
{
	const struct weir_checkpoint_tensor *t = weir_checkpoint_tensor(c, "rope_freqs.weight");
	float base = 10000, factor;
	int err = read_f32(c, p, "rope.freq_base", &base);

	if (!err)
		err = read_scaling(c, p, &factor);
	if (err)
		return err;
	if (!(base > 1))
		return weir_params_fail(c, "%s.rope.freq_base is %g, it must be more than 1", p->arch, base);
	if (t && (t->type != WEIR_TYPE_F32 || t->weights != p->n_rot / 2))
		return weir_params_fail(c, "the tensor rope_freqs.weight must be %u F32 values", p->n_rot / 2);
	for (uint32_t i = 0; i < p->n_rot / 2; i++) {
		float f = 1;

		if (t)
			memcpy(&f, (const char *)t->data + 4 * i, sizeof(f));
		if (!(f > 0 && f < 1e9f))
			return weir_params_fail(c, "rope_freqs.weight has the factor %g", f);
		p->freq[i] = pow(base, -2.0 * i / p->n_rot) / f / factor;
	}
	return 0;
}

static int read_heads(const struct weir_checkpoint *c, struct weir_params *p)
{
	uint32_t value_dim;
	int err;

	if ((err = read_u32(c, p, "attention.head_count", WEIR_MAX_HEADS, 0, &p->heads)) ||
		(err = read_u32(c, p, "attention.head_count_kv", WEIR_MAX_HEADS, p->heads, &p->kv_heads)))
		return err;
	if ((err = read_u32(c, p, "attention.key_length", WEIR_MAX_HEAD_DIM,
		     WEIR_MAX(p->dim / p->heads, 1), &p->head_dim)) ||
		(err = read_u32(c, p, "attention.value_length", WEIR_MAX_HEAD_DIM, p->head_dim, &value_dim)) ||
		(err = read_u32(c, p, "rope.dimension_count", p->head_dim, p->head_dim, &p->n_rot)))
		return err;
	err = weir_params_check_heads(c, p);
	if (err)
		return err;
	if (value_dim != p->head_dim)
		return weir_params_fail(c, "values of %u beside keys of %u are not supported", value_dim, p->head_dim);
	return 0;
}

int weir_params_read_gguf(const struct weir_checkpoint *c, struct weir_params *p)
{
	struct weir_str name;
	int err = weir_gguf_string(weir_checkpoint_gguf(c), "general.architecture", &name);

	if (err == -ENOENT)
		return weir_params_fail(c, "the key general.architecture is missing");
	if (err)
		return err;
	err = weir_params_set_arch(c, p, name.ptr, name.len);
	if (err)
		return err;
	if ((err = read_u32(c, p, "block_count", WEIR_MAX_LAYERS, 0, &p->layers)) ||
		(err = read_u32(c, p, "embedding_length", WEIR_MAX_DIM, 0, &p->dim)) ||
		(err = read_u32(c, p, "feed_forward_length", WEIR_MAX_DIM, 0, &p->ff)) ||
		(err = read_u32(c, p, "context_length", WEIR_MAX_CONTEXT, 2048, &p->context)) ||
		(err = refuse_unless_absent(c, p, "expert_count", "a mixture of experts")) ||
		(err = read_heads(c, p)))
		return err;
	p->eps = 1e-5f;
	err = read_f32(c, p, "attention.layer_norm_rms_epsilon", &p->eps);
	if (err)
		return err;
	if (!(p->eps >= 0 && p->eps < 1))
		return weir_params_fail(c, "%s.attention.layer_norm_rms_epsilon is %g", p->arch, p->eps);
	err = weir_params_read_vocab(c, p);
	return err ? err : read_frequencies(c, p);
}
