/* SPDX-License-Identifier: MIT */
/* Folders that are no model that Weir runs: each is refused with its sentence. */
#include <fnmatch.h>
#include <math.h>

#include "folder_writer.h"
#include "format/checkpoint.h"
#include "llm/params.h"
#include "suite.h"
#include "weir/weir.h"

/* ---- a small model, which a case spoils ------------------------------------------------------ */

struct spoil {
	const char *config, *instead; /* of a part of config.json */
	const char *tensor, *name;    /* NULL name: the tensor is left out; else its name is this one, */
	enum weir_dtype type;	      /* and this its type and shape */
	uint64_t dim[2];
	const char *sentence; /* a pattern, behind the folder's name */
};

static void put_config(const char *folder, const struct spoil *s)
{
	const char *at = s->config ? strstr(folder_sample_config, s->config) : NULL;
	char *text = NULL;

	ck_assert_msg(at || !s->config, "no %s", s->config);
	if (!at)
		text = strdup(folder_sample_config);
	else if (asprintf(&text, "%.*s%s%s", (int)(at - folder_sample_config), folder_sample_config, s->instead, at + strlen(s->config)) < 0)
		abort();
	folder_put(folder, "config.json", text, strlen(text));
	free(text);
}

static void put_tensors(const char *folder, const struct spoil *s)
{
	struct folder_writer w;

	folder_sample(&w);
	for (size_t i = 0; i < w.n && s->tensor; i++) {
		if (!strstr(w.tensors[i].name, s->tensor))
			continue;
		folder_writer_remove(&w, w.tensors[i].name);
		if (s->name)
			folder_writer_add(&w, s->name, s->type, s->dim[1] ? 2 : 1, s->dim, NULL);
		break;
	}
	folder_put_tensors(folder, &w, 1);
	folder_writer_free(&w);
}

/* As a model does before it looks for its tensors. */
static int open_folder(const char *folder, struct weir_checkpoint **c, struct weir_params *p)
{
	int err = weir_checkpoint_open(folder, c);

	return err ? err : weir_params_read(*c, p);
}

#define F "/config.json: "
#define M "/model.safetensors: the tensor model.layers.0.self_attn.q_proj."
#define Q(a) "quantization_config." a

static const struct spoil spoils[] = {
	{"{\"arch", "[{\"arch", .sentence = "/config.json: line 1: an array goes on without a comma"},
	{"\"hidden_size\":64", "\"hidden_size\":0", .sentence = F "hidden_size is 0, it must be from 1 to 1048576"},
	{"\"hidden_size\":64", "\"hidden_size\":6.4",
		.sentence = F "hidden_size is a number with a fraction, not an integer"},
	{"\"hidden_size\":64,", "", .sentence = F "hidden_size is missing"},
	{"\"hidden_size\":64", "\"hidden_size\":64,\"hidden_size\":64",
		.sentence = F "line 1: the key hidden_size is there twice"},
	{"\"num_hidden_layers\":1", "\"num_hidden_layers\":1025",
		.sentence = F "num_hidden_layers is 1025, it must be from 1 to 1024"},
	{"\"llama\"", "\"mixtral\"", .sentence = F "model_type is mixtral: Weir runs llama, mistral, qwen2 and qwen3"},
	{"\"model_type\":\"llama\",", "", .sentence = F "model_type is missing"},
	{"LlamaForCausalLM", "LlamaForSequenceClassification",
		.sentence = F "architectures\\[0] is LlamaForSequenceClassification, not LlamaForCausalLM: *"},
	{"\"silu\"", "\"gelu\"", .sentence = F "hidden_act is gelu: Weir runs silu"},
	{"\"vocab_size\":8", "\"vocab_size\":9", .sentence = F "vocab_size is 9, but there are embeddings for 8"},
	{"\"vocab_size\":8", "\"num_local_experts\":8",
		.sentence = F "num_local_experts is 8: a mixture of experts is not supported"},
	{"\"num_key_value_heads\":2", "\"num_key_value_heads\":3",
		.sentence = ": 4 heads share 3 kv heads: the first must be 1 to 16 times the second"},
	{"\"rms_norm_eps\":1e-05", "\"rms_norm_eps\":1", .sentence = F "rms_norm_eps is 1, it must be between -1e-30 and 1"},
	{"\"rope_theta\":10000.0", "\"rope_theta\":0.5", .sentence = F "rope_theta is 0.5, it must be between 1 and 1e+12"},
	{"\"rope_theta\":10000.0", "\"partial_rotary_factor\":0.5",
		.sentence = F "partial_rotary_factor is 0.5: Weir rotates whole heads"},
	{"\"rope_scaling\":null", "\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4}",
		.sentence = F "rope_scaling.type is yarn: Weir knows default, linear and llama3"},
	{"\"rope_scaling\":null", "\"rope_scaling\":{\"factor\":4}", .sentence = F "rope_scaling.type is missing"},
	{"\"rope_scaling\":null", "\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}",
		.sentence = F "rope_scaling.factor is 0, it must be between 0 and 1e+06"},
	{"\"rope_scaling\":null", "\"rope_scaling\":{\"rope_type\":\"llama3\",\"low_freq_factor\":4}",
		.sentence = F "rope_scaling has a low_freq_factor of 4, not below its high_freq_factor, 4"},
	{"\"rope_scaling\":null", "\"rope_parameters\":{\"rope_type\":\"dynamic\"}",
		.sentence = F "rope_parameters.rope_type is dynamic: Weir knows default, linear and llama3"},
	{"\"rope_scaling\":null", "\"sliding_window\":-1", .sentence = F "sliding_window is negative"},
	{"\"tie_word_embeddings\":false", "\"tie_word_embeddings\":1",
		.sentence = F "tie_word_embeddings is an integer, not a boolean"},

	{"\"awq\"", "\"gptq\"", .sentence = F Q("quant_method is gptq: Weir reads awq")},
	{"\"awq\"", "\"compressed-tensors\"", .sentence = F Q("quant_method is compressed-tensors: Weir reads awq")},
	{"\"quant_method\":\"awq\",", "", .sentence = F Q("quant_method is missing")},
	{"\"bits\":4", "\"bits\":8", .sentence = F Q("bits is 8: Weir reads 4")},
	{"\"group_size\":32", "\"group_size\":48", .sentence = F Q("group_size is 48: Weir reads -1 and multiples of 32")},
	{"\"group_size\":32", "\"group_size\":0", .sentence = F Q("group_size is 0: Weir reads -1 and multiples of 32")},
	{"\"zero_point\":true", "\"zero_point\":false",
		.sentence = F Q("zero_point is false: Weir reads codes with zero points alone")},
	{"\"gemm\"", "\"gemv\"", .sentence = F Q("version is gemv: Weir reads gemm")},
	{"\"gemm\"", "\"marlin\"", .sentence = F Q("version is marlin: Weir reads gemm")},
	{"\"gemm\"", "\"gemm\",\"backend\":\"llm-awq\"", .sentence = F Q("backend is llm-awq: Weir reads autoawq")},
	{"[\"lm_head\"]", "[1]", .sentence = F Q("modules_to_not_convert\\[0] is an integer, not a string")},
	{"[\"lm_head\"]", "[\"q_proj\"]", .sentence = M "qweight holds codes, but modules_to_not_convert has q_proj"},
	{"," FOLDER_AWQ, "", .sentence = M "qweight holds codes, but config.json has no quantization_config"},

	{.tensor = "lm_head", .sentence = ": the tensor lm_head.weight is missing, and tie_word_embeddings is not set in "
					  "config.json"},
	{.tensor = "embed_tokens", .sentence = ": the tensor token_embd.weight is missing"},
	{.tensor = "input_layernorm", .name = "blk.0.attn_q.weight", .type = WEIR_DTYPE_F32, .dim = {64, 64},
		.sentence = ": the tensor blk.0.attn_q.weight is there in two ways"},
	{.tensor = "input_layernorm", .name = "model.norm.weight", .type = WEIR_DTYPE_F8_E4M3, .dim = {64},
		.sentence = "/model.safetensors: the tensor model.norm.weight has the type F8_E4M3: Weir runs F32, F16, "
			    "BF16, and AutoAWQ's codes"},
	{.tensor = "input_layernorm", .name = "model.norm.weight", .type = WEIR_DTYPE_F32, .dim = {0},
		.sentence = "/model.safetensors: the tensor model.norm.weight has no weights, or not 1 to 4 dimensions"},
	{.tensor = "input_layernorm", .name = "model.norm.qweight", .type = WEIR_DTYPE_I32, .dim = {64, 8},
		.sentence = "/model.safetensors: the tensor model.norm.qweight holds codes of what is no linear layer of a "
			    "decoder"},
	{.tensor = ".qzeros", .sentence = M "qweight has no qzeros and scales beside it"},
	{.tensor = ".qweight", .sentence = M "qzeros has no qweight beside it"},
	{.tensor = ".qweight", .name = "model.layers.0.self_attn.q_proj.qweight", .type = WEIR_DTYPE_F32, .dim = {64, 8},
		.sentence = M "qweight has the type F32, it must be I32"},
	{.tensor = ".qweight", .name = "model.layers.0.self_attn.q_proj.qweight", .type = WEIR_DTYPE_I32, .dim = {64},
		.sentence = M "qweight is 64 x 1 in 1 dimensions, it must be 64 x 1"},
	{.tensor = ".qweight", .name = "model.layers.0.self_attn.q_proj.qweight", .type = WEIR_DTYPE_I32, .dim = {0, 8},
		.sentence = M "qweight has rows of 0 codes, not some groups of 32"},
	{.tensor = ".qweight", .name = "model.layers.0.self_attn.q_proj.qweight", .type = WEIR_DTYPE_I32, .dim = {48, 8},
		.sentence = M "qweight has rows of 48 codes, not some groups of 32"},
	{.tensor = ".qweight", .name = "model.layers.0.self_attn.q_proj.qweight", .type = WEIR_DTYPE_I32, .dim = {64, 4},
		.sentence = M "qzeros is 2 x 8 in 2 dimensions, it must be 2 x 4"},
	{.tensor = ".qzeros", .name = "model.layers.0.self_attn.q_proj.qzeros", .type = WEIR_DTYPE_I32, .dim = {1, 8},
		.sentence = M "qzeros is 1 x 8 in 2 dimensions, it must be 2 x 8"},
	{.tensor = ".scales", .name = "model.layers.0.self_attn.q_proj.scales", .type = WEIR_DTYPE_F32, .dim = {2, 64},
		.sentence = M "scales has the type F32, it must be F16"},
	{.tensor = ".scales", .name = "model.layers.0.self_attn.q_proj.scales", .type = WEIR_DTYPE_F16, .dim = {2, 63},
		.sentence = M "scales is 2 x 63 in 2 dimensions, it must be 2 x 64"},
};

START_TEST(refuse)
{
	const struct spoil *s = &spoils[_i];
	char *folder = folder_make(), pattern[512];
	struct weir_checkpoint *c = NULL;
	struct weir_params p;

	put_config(folder, s);
	put_tensors(folder, s);
	ck_assert_msg(open_folder(folder, &c, &p) < 0, "read, though: %s", s->sentence);
	snprintf(pattern, sizeof(pattern), "cannot * %s%s", folder, s->sentence);
	ck_assert_msg(!fnmatch(pattern, weir_error(), 0), "'%s' is not '%s'", weir_error(), pattern);
	weir_checkpoint_close(c);
	folder_remove(folder);
	free(folder);
}
END_TEST

START_TEST(empty_folder)
{
	char *folder = folder_make(), want[128];
	struct weir_checkpoint *c;
	const struct spoil none = {0};

	ck_assert_int_eq(weir_checkpoint_open(folder, &c), -ENOENT);
	snprintf(want, sizeof(want), "cannot read %s: a model's folder has config.json, this one has none", folder);
	ck_assert_str_eq(weir_error(), want);
	put_config(folder, &none);
	ck_assert_int_eq(weir_checkpoint_open(folder, &c), -ENOENT);
	snprintf(want, sizeof(want), "cannot read %s: it has neither model.safetensors nor model.safetensors.index.json",
		folder);
	ck_assert_str_eq(weir_error(), want);
	folder_remove(folder);
	free(folder);
}
END_TEST

/* ---- what is read ---------------------------------------------------------------------------- */

static void read_good(const struct spoil *s, struct weir_params *p)
{
	char *folder = folder_make();
	struct weir_checkpoint *c = NULL;
	const struct weir_checkpoint_tensor *t;

	put_config(folder, s);
	put_tensors(folder, s);
	ck_assert_msg(!open_folder(folder, &c, p), "%s", weir_error());
	ck_assert_ptr_null(weir_checkpoint_gguf(c));
	t = weir_checkpoint_tensor(c, "blk.0.attn_q.weight");
	ck_assert(t && t->dim[0] == 64 && t->dim[1] == 64 && t->coding.bits == 4 && t->coding.group == 32 &&
		  t->coding.zeros && !t->coding.row_act);
	t = weir_checkpoint_tensor(c, "blk.0.ffn_down.weight");
	ck_assert(t && t->type == WEIR_TYPE_F16 && !t->coding.bits);
	weir_checkpoint_close(c);
	folder_remove(folder);
	free(folder);
}

START_TEST(shape)
{
	const struct spoil none = {0};
	struct weir_params p;

	read_good(&none, &p);
	ck_assert_str_eq(p.arch, "llama");
	ck_assert(p.layers == 1 && p.dim == 64 && p.ff == 64 && p.heads == 4 && p.kv_heads == 2 && p.head_dim == 16 &&
		  p.n_rot == 16 && p.vocab == 8 && p.context == 512 && p.eps == 1e-5f && p.rope == WEIR_ROPE_HALVES &&
		  !p.qk_norm);
	ck_assert(p.freq[0] == 1 && p.freq[4] == 0.01);
}
END_TEST

static const struct spoil variants[] = {
	{"\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\"",
		"\"architectures\":[\"MistralForCausalLM\"],\"model_type\":\"mistral\",\"sliding_window\":128"},
	{"\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\"",
		"\"model_type\":\"qwen2\",\"sliding_window\":128,\"use_sliding_window\":false"},
	{"\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\"",
		"\"model_type\":\"qwen3\",\"sliding_window\":128,\"use_sliding_window\":true,\"head_dim\":32"},
	{"\"rope_theta\":10000.0,\"rope_scaling\":null",
		"\"rope_parameters\":{\"rope_theta\":100.0,\"rope_type\":\"linear\",\"factor\":2.0}"},
	{"\"gemm\"", "\"GEMM\""},
	{"\"num_key_value_heads\":2,", ""},
};

START_TEST(shapes)
{
	struct weir_params p[WEIR_ARRAY_SIZE(variants)];

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(variants); i++)
		read_good(&variants[i], &p[i]);
	ck_assert_str_eq(p[0].arch, "llama");
	ck_assert_uint_eq(p[0].context, 128);
	ck_assert_str_eq(p[1].arch, "qwen2");
	ck_assert_uint_eq(p[1].context, 512);
	ck_assert_str_eq(p[2].arch, "qwen3");
	ck_assert(p[2].context == 128 && p[2].qk_norm && p[2].head_dim == 32);
	ck_assert(p[3].freq[0] == 0.5 && fabs(p[3].freq[4] - 0.05) < 1e-15);
	ck_assert_uint_eq(p[5].kv_heads, 4);
}
END_TEST

/*
 * Llama 3.1's numbers, with a head of 128: pairs that are as they were, between, and slower by the factor. Values by
 * the formula of transformers (modeling_rope_utils.py), which goes by wavelengths, in Python.
 */
START_TEST(llama3)
{
	const struct spoil s = {"\"rope_theta\":10000.0,\"rope_scaling\":null",
		"\"head_dim\":128,\"rope_theta\":500000.0,\"rope_scaling\":{\"factor\":8.0,\"low_freq_factor\":1.0,"
		"\"high_freq_factor\":4.0,\"original_max_position_embeddings\":8192,\"rope_type\":\"llama3\"}"};
	struct weir_params p;

	read_good(&s, &p);
	ck_assert_double_eq_tol(p.freq[28], 0.003211445994752591, 1e-16);
	ck_assert_double_eq_tol(p.freq[29], 0.002166570763503359, 1e-16);
	ck_assert_double_eq_tol(p.freq[32], 0.0005248461609929547, 1e-16);
	ck_assert_double_eq_tol(p.freq[34], 0.0001785078127679964, 1e-16);
	ck_assert_double_eq_tol(p.freq[35], 9.556212353964683e-05, 1e-16);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("folder_hostile");
	TCase *tc = tcase_create("folders");

	tcase_add_loop_test(tc, refuse, 0, (int)WEIR_ARRAY_SIZE(spoils));
	tcase_add_test(tc, empty_folder);
	tcase_add_test(tc, shape);
	tcase_add_test(tc, shapes);
	tcase_add_test(tc, llama3);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
