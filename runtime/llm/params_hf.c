/* SPDX-License-Identifier: MIT */
/* A decoder's shape from a folder's config.json. */
#include <math.h>
#include <strings.h>

#include "format/json.h"
#include "llm/params_read.h"

/* A kind of model by its names in config.json, and what an absent key means there (transformers' configurations). */
struct kind {
	const char *model_type, *architecture;
	const char *arch; /* GGUF's name */
	uint32_t head_dim; /* 0: hidden_size / num_attention_heads */
	bool window_switch; /* sliding_window counts with use_sliding_window alone */
};

static const struct kind kinds[] = {
	{"llama", "LlamaForCausalLM", "llama", 0, false},
	{"mistral", "MistralForCausalLM", "llama", 0, false},
	{"qwen2", "Qwen2ForCausalLM", "qwen2", 0, true},
	{"qwen3", "Qwen3ForCausalLM", "qwen3", 128, true},
};

/* The key, from 1 to max; absent: fallback, or an error where that is 0. */
static int read_u32(const struct weir_json *config, const char *key, uint32_t max, uint32_t fallback, uint32_t *out)
{
	struct weir_json member;
	int err = weir_json_u32(config, key, out);

	if (err == -ENOENT && fallback) {
		*out = fallback;
		return 0;
	}
	if (err)
		return err;
	weir_json_member(config, key, &member);
	if (!*out || *out > max)
		return weir_json_fail(&member, EINVAL, "is %u, it must be from 1 to %u", *out, max);
	return 0;
}

/* The key, above min and below max; absent: out stays. */
static int read_double(const struct weir_json *config, const char *key, double min, double max, double *out)
{
	struct weir_json member;
	int err = weir_json_double(config, key, out);

	if (err)
		return err == -ENOENT ? 0 : err;
	weir_json_member(config, key, &member);
	if (!(*out > min && *out < max))
		return weir_json_fail(&member, EINVAL, "is %g, it must be between %g and %g", *out, min, max);
	return 0;
}

/* ---- what kind of model ---------------------------------------------------------------------- */

static int check_architecture(const struct weir_json *config, const struct kind *kind)
{
	struct weir_json list, element;
	const char *name;
	int err = weir_json_array(config, "architectures", &list);

	if (err)
		return err == -ENOENT ? 0 : err;
	for (size_t i = 0; i < weir_json_count(&list); i++) {
		weir_json_at(&list, i, &element);
		err = weir_json_string(&element, NULL, &name);
		if (err)
			return err;
		/* Llama's first files spelled it LLaMA. */
		if (strcasecmp(name, kind->architecture))
			return weir_json_fail(&element, EOPNOTSUPP, "is %.64s, not %s: Weir runs language models alone", name,
				kind->architecture);
	}
	return 0;
}

static int find_kind(const struct weir_json *config, const struct kind **out)
{
	struct weir_json member;
	const char *type;
	int err = weir_json_string(config, "model_type", &type);

	if (err)
		return err;
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(kinds); i++) {
		if (!strcmp(type, kinds[i].model_type)) {
			*out = &kinds[i];
			return check_architecture(config, &kinds[i]);
		}
	}
	weir_json_member(config, "model_type", &member);
	return weir_json_fail(&member, EOPNOTSUPP, "is %.64s: Weir runs llama, mistral, qwen2 and qwen3", type);
}

static int check_activation(const struct weir_json *config)
{
	struct weir_json member;
	const char *name;
	int err = weir_json_string(config, "hidden_act", &name);

	if (err)
		return err == -ENOENT ? 0 : err;
	weir_json_member(config, "hidden_act", &member);
	return strcmp(name, "silu") ? weir_json_fail(&member, EOPNOTSUPP, "is %.64s: Weir runs silu", name) : 0;
}

static int refuse_experts(const struct weir_json *config)
{
	static const char *const keys[] = {"num_experts", "num_local_experts", "n_routed_experts"};

	for (unsigned i = 0; i < WEIR_ARRAY_SIZE(keys); i++) {
		struct weir_json member;
		uint32_t n = 0;
		int err = weir_json_u32(config, keys[i], &n);

		if (err && err != -ENOENT)
			return err;
		weir_json_member(config, keys[i], &member);
		if (n > 1)
			return weir_json_fail(&member, EOPNOTSUPP, "is %u: a mixture of experts is not supported", n);
	}
	return 0;
}

/*
 * Attention here sees the whole context: up to a sliding window's length that is the same. So the window is where the
 * context that the model was trained for ends.
 */
static int read_context(const struct weir_json *config, const struct kind *kind, struct weir_params *p)
{
	uint32_t window = WEIR_MAX_CONTEXT;
	bool used = !kind->window_switch;
	int err = read_u32(config, "max_position_embeddings", WEIR_MAX_CONTEXT, 2048, &p->context);

	if (!err && kind->window_switch)
		err = weir_json_bool(config, "use_sliding_window", &used);
	if (err && err != -ENOENT)
		return err;
	err = used ? read_u32(config, "sliding_window", UINT32_MAX, WEIR_MAX_CONTEXT, &window) : 0;
	p->context = WEIR_MIN(p->context, window);
	return err;
}

/* ---- RoPE ------------------------------------------------------------------------------------ */

/* Llama 3.1's scaling (meta-llama/llama-models, models/llama3/model.py): long waves slower, short ones as they are. */
struct llama3 {
	double factor, low, high, context;
};

static double llama3_frequency(const struct llama3 *s, double f)
{
	const double waves = s->context * f / (2 * M_PI); /* in the context that it was trained for at first */
	double smooth;

	if (waves > s->high)
		return f;
	if (waves < s->low)
		return f / s->factor;
	smooth = (waves - s->low) / (s->high - s->low);
	return (1 - smooth) * f / s->factor + smooth * f;
}

static int read_llama3(const struct weir_json *scaling, struct weir_params *p)
{
	struct llama3 s = {8, 1, 4, 8192};
	int err;

	if ((err = read_double(scaling, "factor", 0, 1e6, &s.factor)) ||
		(err = read_double(scaling, "low_freq_factor", 0, 1e6, &s.low)) ||
		(err = read_double(scaling, "high_freq_factor", 0, 1e6, &s.high)) ||
		(err = read_double(scaling, "original_max_position_embeddings", 0, WEIR_MAX_CONTEXT, &s.context)))
		return err;
	if (s.low >= s.high)
		return weir_json_fail(scaling, EINVAL, "has a low_freq_factor of %g, not below its high_freq_factor, %g",
			s.low, s.high);
	for (uint32_t i = 0; i < p->n_rot / 2; i++)
		p->freq[i] = llama3_frequency(&s, p->freq[i]);
	return 0;
}

static int read_linear(const struct weir_json *scaling, struct weir_params *p)
{
	double factor = 1;
	int err = read_double(scaling, "factor", 0, 1e6, &factor);

	for (uint32_t i = 0; i < p->n_rot / 2 && !err; i++)
		p->freq[i] /= factor;
	return err;
}

/* Older files say type, newer ones rope_type. */
static int read_scaling(const struct weir_json *scaling, struct weir_params *p)
{
	const char *key = weir_json_has(scaling, "rope_type") ? "rope_type" : "type", *type;
	struct weir_json member;
	int err = weir_json_string(scaling, key, &type);

	if (err)
		return err;
	if (!strcmp(type, "default"))
		return 0;
	if (!strcmp(type, "linear"))
		return read_linear(scaling, p);
	if (!strcmp(type, "llama3"))
		return read_llama3(scaling, p);
	weir_json_member(scaling, key, &member);
	return weir_json_fail(&member, EOPNOTSUPP, "is %.64s: Weir knows default, linear and llama3", type);
}

/* rope_theta and rope_scaling, or rope_parameters with both in it (transformers 5). */
static int read_rope(const struct weir_json *config, struct weir_params *p)
{
	struct weir_json scaling = {0}, member;
	const struct weir_json *theta = config;
	double base = 10000, part = 1;
	int err = weir_json_object(config, "rope_parameters", &scaling);

	if (!err)
		theta = &scaling;
	else if (err == -ENOENT)
		err = weir_json_object(config, "rope_scaling", &scaling);
	if (err && err != -ENOENT)
		return err;
	if ((err = read_double(theta, "rope_theta", 1, 1e12, &base)) ||
		(err = read_double(theta, "partial_rotary_factor", 0, 1e6, &part)))
		return err;
	weir_json_member(theta, "partial_rotary_factor", &member);
	if (part != 1)
		return weir_json_fail(&member, EOPNOTSUPP, "is %g: Weir rotates whole heads", part);
	/* Su et al. 2021. */
	for (uint32_t i = 0; i < p->n_rot / 2; i++)
		p->freq[i] = pow(base, -2.0 * i / p->n_rot);
	return scaling.value ? read_scaling(&scaling, p) : 0;
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static int read_heads(const struct weir_checkpoint *c, const struct weir_json *config, const struct kind *kind,
	struct weir_params *p)
{
	int err = read_u32(config, "num_attention_heads", WEIR_MAX_HEADS, 0, &p->heads);
	uint32_t head_dim;

	if (err)
		return err;
	head_dim = kind->head_dim ? kind->head_dim : WEIR_MAX(p->dim / p->heads, 1);
	if ((err = read_u32(config, "num_key_value_heads", WEIR_MAX_HEADS, p->heads, &p->kv_heads)) ||
		(err = read_u32(config, "head_dim", WEIR_MAX_HEAD_DIM, head_dim, &p->head_dim)))
		return err;
	p->n_rot = p->head_dim;
	return weir_params_check_heads(c, p);
}

static int check_vocab(const struct weir_json *config, const struct weir_params *p)
{
	struct weir_json member;
	uint32_t vocab = p->vocab;
	int err = weir_json_u32(config, "vocab_size", &vocab);

	if (err && err != -ENOENT)
		return err;
	weir_json_member(config, "vocab_size", &member);
	return vocab == p->vocab ? 0 : weir_json_fail(&member, EINVAL, "is %u, but there are embeddings for %u", vocab,
		p->vocab);
}

int weir_params_read_hf(const struct weir_checkpoint *c, struct weir_params *p)
{
	const struct weir_json *config = weir_checkpoint_json(c);
	const struct kind *kind = NULL;
	double eps = 1e-6;
	int err = find_kind(config, &kind);

	if (err || (err = weir_params_set_arch(c, p, kind->arch, strlen(kind->arch))) ||
		(err = check_activation(config)) || (err = refuse_experts(config)) ||
		(err = read_u32(config, "num_hidden_layers", WEIR_MAX_LAYERS, 0, &p->layers)) ||
		(err = read_u32(config, "hidden_size", WEIR_MAX_DIM, 0, &p->dim)) ||
		(err = read_u32(config, "intermediate_size", WEIR_MAX_DIM, 0, &p->ff)) ||
		(err = read_context(config, kind, p)) || (err = read_heads(c, config, kind, p)) ||
		(err = read_double(config, "rms_norm_eps", -1e-30, 1, &eps)) ||
		(err = weir_params_read_vocab(c, p)) || (err = check_vocab(config, p)))
		return err;
	p->eps = (float)eps;
	/* Rows of q and k lie as they were trained: only GGUF's Llama has them in another order. */
	p->rope = WEIR_ROPE_HALVES;
	return read_rope(config, p);
}
