/* SPDX-License-Identifier: MIT */
/* The story model as a folder, with floats or with codes packed as AutoAWQ's description says. */
#include <math.h>

#include "folder_writer.h"
#include "format/gguf.h"

#define LAYERS 5
#define DIM 64
#define HEADS 8
#define KV_HEADS 4
#define FF 172
#define FF_PADDED 192

static const struct {
	const char *gguf, *hf;
	uint64_t rows, columns, padded_rows, padded_columns;
	unsigned heads; /* of q and k */
} matrices[] = {
	{"attn_q", "self_attn.q_proj", DIM, DIM, DIM, DIM, HEADS},
	{"attn_k", "self_attn.k_proj", DIM / 2, DIM, DIM / 2, DIM, KV_HEADS},
	{"attn_v", "self_attn.v_proj", DIM / 2, DIM, DIM / 2, DIM, 0},
	{"attn_output", "self_attn.o_proj", DIM, DIM, DIM, DIM, 0},
	{"ffn_gate", "mlp.gate_proj", FF, DIM, FF_PADDED, DIM, 0},
	{"ffn_up", "mlp.up_proj", FF, DIM, FF_PADDED, DIM, 0},
	{"ffn_down", "mlp.down_proj", DIM, FF, DIM, FF_PADDED, 0},
};

static const float *floats_of(const struct weir_gguf *g, const char *name)
{
	const struct weir_gguf_tensor *t = weir_gguf_tensor(g, name);

	if (!t || t->type != WEIR_TYPE_F32)
		abort();
	return t->data;
}

/*
 * Where row r of a Hugging Face matrix is in GGUF's, whose converter turned (2, head_dim / 2) rows of each head into
 * (head_dim / 2, 2).
 */
static uint64_t row_in_gguf(uint64_t r, uint64_t rows, unsigned heads)
{
	const uint64_t dim = heads ? rows / heads : 0;

	if (!heads)
		return r;
	return r / dim * dim + r % (dim / 2) * 2 + r % dim / (dim / 2);
}

/* ---- codes ----------------------------------------------------------------------------------- */

struct codes {
	uint8_t *q, *zero; /* (rows, columns), (rows, groups) */
	float *scale;	   /* (rows, groups), halves */
};

/* Round to nearest in groups, as the quantizer of AWQ without its search does. */
static void code_group(const float *w, size_t n, uint8_t *q, uint8_t *zero, float *scale)
{
	float max = w[0], min = w[0], z;

	for (size_t i = 1; i < n; i++) {
		max = fmaxf(max, w[i]);
		min = fminf(min, w[i]);
	}
	*scale = weir_half_to_float(weir_float_to_half(fmaxf(max - min, 1e-5f) / 15));
	z = fminf(fmaxf(-rintf(min / *scale), 0), 15);
	*zero = (uint8_t)z;
	for (size_t i = 0; i < n; i++)
		q[i] = (uint8_t)fminf(fmaxf(rintf(w[i] / *scale) + z, 0), 15);
}

/* One word holds eight output channels; its nibble i has channel order[i] of them. */
static uint32_t pack_word(const uint8_t *values, size_t stride)
{
	static const unsigned order[8] = {0, 2, 4, 6, 1, 3, 5, 7};
	uint32_t word = 0;

	for (unsigned i = 0; i < 8; i++)
		word |= (uint32_t)values[order[i] * stride] << 4 * i;
	return word;
}

/* values (rows, n) as int32 (n, rows / 8). */
static void add_words(struct folder_writer *w, const char *name, const uint8_t *values, uint64_t rows, uint64_t n)
{
	uint32_t *words = calloc(rows / 8 * n, sizeof(*words));

	if (!words)
		abort();
	for (uint64_t k = 0; k < n; k++)
		for (uint64_t i = 0; i < rows / 8; i++)
			words[k * (rows / 8) + i] = pack_word(values + 8 * i * n + k, n);
	folder_writer_add(w, name, WEIR_DTYPE_I32, 2, (uint64_t[]){n, rows / 8}, words);
	free(words);
}

static void add_codes(struct folder_writer *w, const char *module, const struct codes *c, uint64_t rows,
	uint64_t columns, uint64_t groups)
{
	float *turned = calloc(rows * groups, sizeof(*turned));
	char name[96];

	if (!turned)
		abort();
	for (uint64_t r = 0; r < rows; r++)
		for (uint64_t g = 0; g < groups; g++)
			turned[g * rows + r] = c->scale[r * groups + g];
	snprintf(name, sizeof(name), "%s.qweight", module);
	add_words(w, name, c->q, rows, columns);
	snprintf(name, sizeof(name), "%s.qzeros", module);
	add_words(w, name, c->zero, rows, groups);
	snprintf(name, sizeof(name), "%s.scales", module);
	folder_writer_floats(w, name, WEIR_DTYPE_F16, 2, (uint64_t[]){groups, rows}, turned);
	free(turned);
}

static void add_coded(struct folder_writer *w, const char *module, float *weights, uint64_t rows, uint64_t columns,
	const struct story *story)
{
	const uint64_t group = WEIR_MIN(story->group, columns), groups = columns / group;
	struct codes c = {malloc(rows * columns), malloc(rows * groups), malloc(rows * groups * sizeof(float))};
	char name[96];

	if (!c.q || !c.zero || !c.scale)
		abort();
	for (uint64_t i = 0; i < rows * groups; i++) {
		code_group(weights + i * group, group, c.q + i * group, &c.zero[i], &c.scale[i]);
		for (uint64_t k = i * group; k < (i + 1) * group; k++)
			weights[k] = (float)(c.q[k] - c.zero[i]) * c.scale[i];
	}
	snprintf(name, sizeof(name), "%s.weight", module);
	if (story->twin)
		folder_writer_floats(w, name, WEIR_DTYPE_F32, 2, (uint64_t[]){rows, columns}, weights);
	else
		add_codes(w, module, &c, rows, columns, groups);
	free(c.q);
	free(c.zero);
	free(c.scale);
}

/* ---- the model ------------------------------------------------------------------------------- */

static void add_matrix(struct folder_writer *w, const struct weir_gguf *g, unsigned layer, size_t m,
	const struct story *story)
{
	const uint64_t rows = matrices[m].padded_rows, columns = matrices[m].padded_columns;
	float *weights = calloc(rows * columns, sizeof(*weights));
	char name[96];
	const float *from;

	if (!weights)
		abort();
	snprintf(name, sizeof(name), "blk.%u.%s.weight", layer, matrices[m].gguf);
	from = floats_of(g, name);
	for (uint64_t r = 0; r < matrices[m].rows; r++)
		memcpy(weights + r * columns,
			from + row_in_gguf(r, rows, matrices[m].heads) * matrices[m].columns,
			matrices[m].columns * sizeof(*weights));
	snprintf(name, sizeof(name), "model.layers.%u.%s", layer, matrices[m].hf);
	if (story->group) {
		add_coded(w, name, weights, rows, columns, story);
	} else {
		strcat(name, ".weight");
		folder_writer_floats(w, name, story->type, 2, (uint64_t[]){rows, columns}, weights);
	}
	free(weights);
}

static void add_vector(struct folder_writer *w, const struct weir_gguf *g, unsigned layer, const char *hf,
	const char *gguf, enum weir_dtype type)
{
	char name[96], from[64];

	snprintf(name, sizeof(name), "model.layers.%u.%s.weight", layer, hf);
	snprintf(from, sizeof(from), "blk.%u.%s.weight", layer, gguf);
	folder_writer_floats(w, name, type, 1, (uint64_t[]){DIM}, floats_of(g, from));
}

static char *config_text(const struct story *story)
{
	const bool coded = story->group && !story->twin;
	char group[16], awq[256] = "", *config;

	snprintf(group, sizeof(group), "%d", story->group == UINT32_MAX ? -1 : (int)story->group);
	if (coded)
		snprintf(awq, sizeof(awq),
			",\n  \"quantization_config\": {\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": %s, "
			"\"zero_point\": true, \"version\": \"gemm\", \"modules_to_not_convert\": [\"lm_head\"]}", group);
	if (asprintf(&config,
		"{\n  \"architectures\": [\"LlamaForCausalLM\"],\n  \"model_type\": \"llama\",\n  \"hidden_size\": 64,\n"
		"  \"intermediate_size\": 192,\n  \"num_hidden_layers\": 5,\n  \"num_attention_heads\": 8,\n"
		"  \"num_key_value_heads\": 4,\n  \"rms_norm_eps\": 1e-05,\n  \"rope_theta\": 10000.0,\n"
		"  \"rope_scaling\": null,\n  \"max_position_embeddings\": 512,\n  \"vocab_size\": 512,\n"
		"  \"hidden_act\": \"silu\",\n  \"tie_word_embeddings\": true%s\n}\n", awq) < 0)
		abort();
	return config;
}

void folder_story(struct folder_writer *w, const char *path, const struct story *story, char **config)
{
	struct weir_gguf *g;

	if (weir_gguf_open(path, &g))
		abort();
	*w = (struct folder_writer){0};
	for (unsigned layer = 0; layer < LAYERS; layer++) {
		add_vector(w, g, layer, "input_layernorm", "attn_norm", story->type);
		add_vector(w, g, layer, "post_attention_layernorm", "ffn_norm", story->type);
		for (size_t m = 0; m < WEIR_ARRAY_SIZE(matrices); m++)
			add_matrix(w, g, layer, m, story);
	}
	folder_writer_floats(w, "model.embed_tokens.weight", story->type, 2, (uint64_t[]){512, DIM},
		floats_of(g, "token_embd.weight"));
	folder_writer_floats(w, "model.norm.weight", story->type, 1, (uint64_t[]){DIM}, floats_of(g, "output_norm.weight"));
	weir_gguf_close(g);
	*config = config_text(story);
}
