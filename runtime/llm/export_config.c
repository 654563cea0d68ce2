/* SPDX-License-Identifier: MIT */
/* What stands beside the weights in a folder: config.json, generation_config.json, the tokenizer's files. */
#include <json-c/json.h>
#include <unistd.h>

#include "llm/export_parts.h"

#define CONFIG "config.json"
#define FILE_MAX_BYTES ((size_t)1 << 28) /* of a file that is copied; vocabularies have some ten million */

/* Those after the weights are copied from a folder, where they are. */
const char *const weir_export_files[] = {CONFIG, WEIR_EXPORT_WEIGHTS, "generation_config.json", "tokenizer.json",
	"tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocab.json",
	"merges.txt", "chat_template.jinja", "chat_template.json", NULL};
#define FIRST_COPIED 2

/* ---- building JSON: what runs out of memory leaves a mark ---- */

struct object {
	struct json_object *json;
	bool bad;
};

/* Takes value over; NULL is JSON's null only through set_null. */
static void set(struct object *o, const char *key, struct json_object *value)
{
	if (value && !o->bad && !json_object_object_add(o->json, key, value))
		return;
	json_object_put(value);
	o->bad = true;
}

static void set_null(struct object *o, const char *key)
{
	o->bad = o->bad || json_object_object_add(o->json, key, NULL);
}

static void set_string(struct object *o, const char *key, const char *value)
{
	set(o, key, json_object_new_string(value));
}

static void set_number(struct object *o, const char *key, int64_t value)
{
	set(o, key, json_object_new_int64(value));
}

static void set_bool(struct object *o, const char *key, bool value)
{
	set(o, key, json_object_new_boolean(value));
}

/* The shortest text that is this float again: 1e-05, not 9.9999997e-06. */
static void set_float(struct object *o, const char *key, float value)
{
	char text[32];
	int digits = 1;

	do
		snprintf(text, sizeof(text), "%.*g", digits, (double)value);
	while (strtof(text, NULL) != value && digits++ < 9);
	if (!strpbrk(text, ".e"))
		strcat(text, ".0");
	set(o, key, json_object_new_double_s((double)value, text));
}

/* ---- quantization_config ---- */

/* A matrix of a layer that is not coded. */
static bool is_whole(const struct weir_export_item *item)
{
	return item->form != WEIR_EXPORT_CODES && item->in->n_dims == 2 && !strncmp(item->in->name, "blk.", 4);
}

/* Names of the modules that loaders must not look for codes in; null: none. */
static void set_whole(const struct weir_export *x, struct object *o)
{
	struct json_object *list = NULL;
	char name[128];

	for (size_t i = 0; i < x->n; i++) {
		struct json_object *module;

		if (!is_whole(&x->items[i]) || !weir_export_module(&x->items[i], name, sizeof(name)))
			continue;
		list = list ? list : json_object_new_array();
		module = json_object_new_string(name);
		if (list && module && !json_object_array_add(list, module))
			continue;
		json_object_put(module);
		o->bad = true;
	}
	if (list)
		set(o, "modules_to_not_convert", list);
	else
		set_null(o, "modules_to_not_convert");
}

static void set_quantization(const struct weir_export *x, struct object *config)
{
	struct object q = {json_object_new_object(), false};

	q.bad = !q.json;
	set_string(&q, "quant_method", "awq");
	set_number(&q, "bits", x->set.bits);
	set_number(&q, "group_size", x->set.group ? (int64_t)x->set.group : -1); /* -1: a whole row */
	set_bool(&q, "zero_point", true);
	set_string(&q, "version", "gemm");
	set_whole(x, &q);
	config->bad |= q.bad;
	set(config, "quantization_config", q.json);
}

/* ---- config.json of a model that came as GGUF ---- */

static bool has_tensor(const struct weir_export *x, const char *name)
{
	return weir_checkpoint_tensor(x->in, name);
}

/* Which biases the architecture has as transformers knows it: those of q, k and v, or all four, or none. */
static int set_biases(const struct weir_export *x, struct object *o)
{
	const bool qkv = has_tensor(x, "blk.0.attn_q.bias"), out = has_tensor(x, "blk.0.attn_output.bias");
	const bool is_qwen2 = !strcmp(x->params->arch, "qwen2");

	if (out != (qkv && !is_qwen2) || (is_qwen2 && !qkv))
		return weir_export_fail(x, EOPNOTSUPP,
			"config.json has no words for an architecture %s with these biases: write GGUF", x->params->arch);
	if (!is_qwen2)
		set_bool(o, "attention_bias", qkv);
	return 0;
}

static int set_rope(const struct weir_export *x, struct object *o)
{
	struct weir_export_rope rope;
	struct object s = {NULL, false};
	uint32_t original = 0;

	weir_export_rope_of(x->params, &rope);
	set_float(o, "rope_theta", (float)rope.base);
	if (rope.even && rope.factor == 1) {
		set_null(o, "rope_scaling");
		return 0;
	}
	if (!rope.even && !weir_export_rope_llama3(&rope, x->params->n_rot, &original))
		return weir_export_fail(x, EOPNOTSUPP,
			"config.json has no words for the way its positions are scaled: write GGUF");
	s.json = json_object_new_object();
	s.bad = !s.json;
	set_string(&s, "rope_type", rope.even ? "linear" : "llama3");
	set_float(&s, "factor", (float)rope.factor);
	if (!rope.even) {
		set_float(&s, "low_freq_factor", 1);
		set_float(&s, "high_freq_factor", 4);
		set_number(&s, "original_max_position_embeddings", original);
	}
	o->bad |= s.bad;
	set(o, "rope_scaling", s.json);
	return 0;
}

static void set_id(struct object *o, const char *key, int32_t id)
{
	if (id >= 0)
		set_number(o, key, id);
	else
		set_null(o, key);
}

static void set_shape(const struct weir_export *x, struct object *o)
{
	const struct weir_params *p = x->params;

	set_number(o, "hidden_size", p->dim);
	set_number(o, "intermediate_size", p->ff);
	set_number(o, "num_hidden_layers", p->layers);
	set_number(o, "num_attention_heads", p->heads);
	set_number(o, "num_key_value_heads", p->kv_heads);
	set_number(o, "head_dim", p->head_dim);
	set_number(o, "max_position_embeddings", p->context);
	set_number(o, "vocab_size", p->vocab);
	set_float(o, "rms_norm_eps", p->eps);
	set_string(o, "hidden_act", "silu");
	set_bool(o, "tie_word_embeddings", !has_tensor(x, "output.weight"));
	set_id(o, "bos_token_id", weir_token_bos(x->tokenizer));
	set_id(o, "eos_token_id", weir_token_eos(x->tokenizer));
}

static int config_build(const struct weir_export *x, struct object *o)
{
	static const char *const classes[][2] = {
		{"llama", "LlamaForCausalLM"},
		{"qwen2", "Qwen2ForCausalLM"},
		{"qwen3", "Qwen3ForCausalLM"},
	};
	const struct weir_params *p = x->params;
	struct json_object *list = json_object_new_array();
	const char *class = NULL;
	int err;

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(classes); i++)
		if (!strcmp(classes[i][0], p->arch))
			class = classes[i][1];
	if (!class || p->n_rot != p->head_dim) {
		json_object_put(list);
		return weir_export_fail(x, EOPNOTSUPP,
			"config.json has no words for an architecture %s that rotates %u of %u: write GGUF", p->arch,
			p->n_rot, p->head_dim);
	}
	if (list)
		json_object_array_add(list, json_object_new_string(class));
	set(o, "architectures", list);
	set_string(o, "model_type", p->arch);
	set_shape(x, o);
	err = set_biases(x, o);
	return err ? err : set_rope(x, o);
}

int weir_export_config(struct weir_export *x)
{
	struct json_object *of_input = weir_checkpoint_config(x->in);
	struct object o = {NULL, false};
	int err = 0;

	if (of_input)
		o.bad = json_object_deep_copy(of_input, &o.json, NULL);
	else
		o.bad = !(o.json = json_object_new_object());
	if (!o.bad && !of_input)
		err = config_build(x, &o);
	/* Newer writers say dtype; loaders of any age know the other. */
	if (!o.bad && json_object_object_get_ex(o.json, "dtype", NULL))
		json_object_object_del(o.json, "dtype");
	set_string(&o, "torch_dtype", "float16");
	set_quantization(x, &o);
	x->config = o.json;
	if (!err && o.bad)
		err = weir_export_fail(x, ENOMEM, "no memory for " CONFIG);
	return err;
}

/* ---- writing ---- */

static int write_json(struct weir_export *x, const char *name, struct json_object *json)
{
	size_t size = 0;
	const char *text = json ? json_object_to_json_string_ext(json,
					  JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						  JSON_C_TO_STRING_NOSLASHESCAPE) :
				  NULL;

	if (text)
		size = strlen(text);
	return size ? weir_store_text(&x->store, name, text, size) :
		      weir_export_fail(x, ENOMEM, "no memory for %s", name);
}

static int copy_file(struct weir_export *x, const char *name)
{
	char *path = NULL, *data = NULL;
	size_t size = 0;
	int err = 0;

	if (asprintf(&path, "%s/%s", weir_checkpoint_path(x->in), name) < 0)
		return weir_export_fail(x, ENOMEM, "no memory for %s", name);
	if (!access(path, F_OK))
		err = weir_file_read(path, FILE_MAX_BYTES, &data, &size);
	if (!err && data)
		err = weir_store_text(&x->store, name, data, size);
	free(data);
	free(path);
	return err;
}

int weir_export_beside(struct weir_export *x)
{
	int err = write_json(x, CONFIG, x->config);

	if (weir_checkpoint_config(x->in)) {
		for (size_t i = FIRST_COPIED; !err && weir_export_files[i]; i++)
			err = copy_file(x, weir_export_files[i]);
		return err;
	}
	return err ? err : weir_tokenizer_write_json(x->tokenizer, x->store.data);
}
