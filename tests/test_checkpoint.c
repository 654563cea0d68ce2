/* SPDX-License-Identifier: MIT */
/* Folders end to end: the golden story from floats and from codes, and what is refused with which sentence. */
#include "folder_writer.h"
#include "format/checkpoint.h"
#include "models.h"
#include "suite.h"
#include "weir/llm.h"

#define STORY_MODEL "llm/stories260K-f32.gguf"
#define STORY_TEXT "llm/stories260K-greedy200.txt"
#define STORY_TOKENS 200

static weir_device *dev;

static void set_up(void)
{
	dev = model_device(NULL, NULL, 2, WEIR_PROVIDER_AUTO);
}

static void tear_down(void)
{
	weir_device_close(dev);
}

/* ---- stories --------------------------------------------------------------------------------- */

static char *write_story(const char *gguf, const struct story *story, unsigned shards)
{
	char *folder = folder_make(), *config;
	struct folder_writer w;

	folder_story(&w, gguf, story, &config);
	folder_put(folder, "config.json", config, strlen(config));
	folder_put_tensors(folder, &w, shards);
	folder_writer_free(&w);
	free(config);
	return folder;
}

/* Greedy tokens behind the beginning token, and the logits before the first of them. */
static void tell(const char *path, int32_t *tokens, size_t n, float *logits, char *type)
{
	weir_model *m = model_open(dev, path);
	weir_session *s = model_session(m, WEIR_KV_F16, 0, 0, 0, 0);
	struct weir_model_info info;
	struct weir_sampling greedy;
	int32_t token = 1;

	weir_model_describe(m, &info);
	snprintf(type, sizeof(info.type), "%s", info.type);
	weir_sampling_default(&greedy);
	greedy.temperature = 0;
	ck_assert(!weir_session_sampling(s, &greedy));
	for (size_t i = 0; i < n; i++) {
		ck_assert_msg(!weir_session_feed(s, &token, 1, NULL, NULL), "%s", weir_error());
		if (!i && logits)
			ck_assert(!weir_session_logits(s, logits));
		ck_assert(!weir_session_sample(s, &token));
		tokens[i] = token;
	}
	weir_session_destroy(s);
	weir_model_close(m);
}

/* The text of tokens by the tokenizer of the GGUF file, without outer white space. */
static char *text_of(const char *gguf, const int32_t *tokens, size_t n)
{
	weir_tokenizer *t;
	char *text;
	size_t size, len = 0, from = 0;
	FILE *f = open_memstream(&text, &size);

	ck_assert_msg(!weir_tokenizer_open(&t, gguf), "%s", weir_error());
	for (size_t i = 0; i < n; i++) {
		const char *part = weir_token_text(t, tokens[i], false, &len);

		fwrite(part, 1, len, f);
	}
	fclose(f);
	weir_tokenizer_close(t);
	while (text[from] == ' ')
		from++;
	memmove(text, text + from, size - from + 1);
	return text;
}

static void check_golden(const char *gguf, const char *folder, const char *type)
{
	const char *golden = suite_data(STORY_TEXT, "a story");
	int32_t tokens[STORY_TOKENS];
	char *text, *want, got_type[16];
	size_t size;

	tell(folder, tokens, STORY_TOKENS, NULL, got_type);
	ck_assert_str_eq(got_type, type);
	text = text_of(gguf, tokens, STORY_TOKENS);
	ck_assert(!weir_file_read(golden, 4096, &want, &size));
	ck_assert_msg(!strncmp(text, want, strlen(text)) && strlen(text) > 400, "'%s' is not '%s'", text, want);
	free(text);
	free(want);
}

static const struct {
	struct story story;
	unsigned shards;
	const char *type;
} floats[] = {
	{{.type = WEIR_DTYPE_F32}, 1, "F32"},
	{{.type = WEIR_DTYPE_F32}, 3, "F32"},
	{{.type = WEIR_DTYPE_F16}, 1, "F16"},
};

START_TEST(golden_story)
{
	const char *gguf = suite_data(STORY_MODEL, "a story");
	char *folder;

	if (!gguf)
		return;
	folder = write_story(gguf, &floats[_i].story, floats[_i].shards);
	check_golden(gguf, folder, floats[_i].type);
	folder_remove(folder);
	free(folder);
}
END_TEST

/* ---- AutoAWQ --------------------------------------------------------------------------------- */

/* Every weight of two folders, as float: the same bits. */
static void check_weights(const char *a, const char *b)
{
	struct weir_checkpoint *c[2];

	ck_assert_msg(!weir_checkpoint_open(a, &c[0]), "%s", weir_error());
	ck_assert_msg(!weir_checkpoint_open(b, &c[1]), "%s", weir_error());
	ck_assert_uint_eq(weir_checkpoint_tensor_count(c[0]), weir_checkpoint_tensor_count(c[1]));
	for (size_t i = 0; i < weir_checkpoint_tensor_count(c[0]); i++) {
		const struct weir_checkpoint_tensor *t[2] = {weir_checkpoint_tensor_at(c[0], i)};
		float *w[2];

		t[1] = weir_checkpoint_tensor(c[1], t[0]->name);
		ck_assert(t[1] && t[0]->dim[0] == t[1]->dim[0] && t[0]->dim[1] == t[1]->dim[1]);
		for (int j = 0; j < 2; j++) {
			w[j] = malloc(t[j]->weights * sizeof(float));
			ck_assert_msg(!weir_checkpoint_floats(c[j], t[j], 0, t[j]->weights / t[j]->dim[0], w[j]), "%s",
				weir_error());
		}
		ck_assert_msg(!memcmp(w[0], w[1], t[0]->weights * sizeof(float)), "%s", t[0]->name);
		free(w[0]);
		free(w[1]);
	}
	weir_checkpoint_close(c[0]);
	weir_checkpoint_close(c[1]);
}

/*
 * Planes of codes meet activations of 8 bits, planes of floats do not: the two differ from the first logits on, and
 * once a choice is close their texts part. Measured: logits differ by 0.7 to 2.0 percent, the first 26, 105 and 127
 * tokens are the same.
 */
static const struct {
	uint32_t group;
	const char *type;
} groups[] = {{32, "W4 g32"}, {64, "W4 g64"}, {UINT32_MAX, "W4"}};

#define SAME_TOKENS 20
#define SAME_LOGITS 0.04

START_TEST(awq)
{
	const char *gguf = suite_data(STORY_MODEL, "codes");
	const struct story story = {.type = WEIR_DTYPE_F32, .group = groups[_i].group};
	const struct story twin = {.type = WEIR_DTYPE_F32, .group = groups[_i].group, .twin = true};
	int32_t tokens[2][SAME_TOKENS];
	float logits[2][512];
	char *folder[2], type[16];

	if (!gguf)
		return;
	folder[0] = write_story(gguf, &story, 1 + _i);
	folder[1] = write_story(gguf, &twin, 1);
	check_weights(folder[0], folder[1]);
	tell(folder[0], tokens[0], SAME_TOKENS, logits[0], type);
	ck_assert_str_eq(type, groups[_i].type);
	tell(folder[1], tokens[1], SAME_TOKENS, logits[1], type);
	ck_assert_str_eq(type, "F32");
	ck_assert_double_lt(model_distance(logits[0], logits[1], 512), SAME_LOGITS);
	ck_assert(!memcmp(tokens[0], tokens[1], sizeof(tokens[0])));
	for (int i = 0; i < 2; i++) {
		folder_remove(folder[i]);
		free(folder[i]);
	}
}
END_TEST

/* Any rows, not only whole words of eight. */
START_TEST(awq_rows)
{
	const char *gguf = suite_data(STORY_MODEL, "codes");
	const struct story story = {.type = WEIR_DTYPE_F32, .group = 32};
	const struct weir_checkpoint_tensor *t;
	struct weir_checkpoint *c;
	static uint8_t all[64 * 64], q[64 * 64], zeros[2 * 64], zero[2 * 64];
	float scales[2 * 64], scale[2 * 64];
	char *folder;

	if (!gguf)
		return;
	folder = write_story(gguf, &story, 1);
	ck_assert_msg(!weir_checkpoint_open(folder, &c), "%s", weir_error());
	t = weir_checkpoint_tensor(c, "blk.3.attn_output.weight");
	ck_assert(t && !weir_checkpoint_codes(c, t, 0, 64, all, scales, zeros));
	for (size_t first = 0; first < 64; first += 3) {
		for (size_t n = 0; first + n <= 64; n += 5) {
			ck_assert(!weir_checkpoint_codes(c, t, first, n, q, scale, zero));
			ck_assert(!memcmp(q, all + first * 64, n * 64) && !memcmp(zero, zeros + first * 2, n * 2) &&
				  !memcmp(scale, scales + first * 2, n * 2 * sizeof(float)));
		}
	}
	ck_assert_int_eq(weir_checkpoint_codes(c, t, 60, 5, q, scale, zero), -ERANGE);
	ck_assert_int_eq(weir_checkpoint_codes(c, t, SIZE_MAX, 2, q, scale, zero), -ERANGE);
	weir_checkpoint_drop(c, t);
	ck_assert(!weir_checkpoint_codes(c, t, 0, 64, q, scale, zero) && !memcmp(q, all, sizeof(q)));
	t = weir_checkpoint_tensor(c, "output_norm.weight");
	ck_assert_int_eq(weir_checkpoint_codes(c, t, 0, 1, q, scale, zero), -EOPNOTSUPP);
	weir_checkpoint_close(c);
	folder_remove(folder);
	free(folder);
}
END_TEST

/* Scales that are no numbers come out when the model is loaded. */
START_TEST(awq_scales)
{
	static const uint16_t halves[] = {0x7c00, 0xfc00, 0x7e00};
	static const char *const names[] = {"inf", "-inf", "nan"};
	const char *gguf = suite_data(STORY_MODEL, "codes");
	const struct story story = {.type = WEIR_DTYPE_F32, .group = 32};
	struct folder_writer w;
	char *folder, *config, want[256];
	weir_model *m;

	if (!gguf)
		return;
	folder = folder_make();
	folder_story(&w, gguf, &story, &config);
	folder_put(folder, "config.json", config, strlen(config));
	memcpy(folder_writer_find(&w, "model.layers.2.self_attn.v_proj.scales")->data + 2 * (32 + 21), &halves[_i], 2);
	folder_put_tensors(folder, &w, 1);
	ck_assert_int_eq(weir_model_load(&m, dev, folder, NULL), -EINVAL);
	snprintf(want, sizeof(want),
		"cannot read %s/model.safetensors: the tensor model.layers.2.self_attn.v_proj.scales is %s at group 1 of "
		"row 21", folder, names[_i]);
	ck_assert_str_eq(weir_error(), want);
	free(config);
	folder_writer_free(&w);
	folder_remove(folder);
	free(folder);
}
END_TEST

/* q, k, v with biases: a story model that differs from the golden one, the same from F32 and from codes' twin. */
START_TEST(biases)
{
	const char *gguf = suite_data(STORY_MODEL, "biases");
	struct folder_writer w;
	char *folder[2], *config, type[16];
	float bias[64], logits[3][512];
	int32_t token;

	if (!gguf)
		return;
	for (int i = 0; i < 64; i++)
		bias[i] = (float)(i % 7 - 3) / 4;
	for (int i = 0; i < 2; i++) {
		const struct story story = {.type = WEIR_DTYPE_F32, .group = 64, .twin = i};

		folder[i] = folder_make();
		folder_story(&w, gguf, &story, &config);
		folder_put(folder[i], "config.json", config, strlen(config));
		folder_put_tensors(folder[i], &w, 1);
		if (!i)
			tell(folder[i], &token, 1, logits[2], type);
		for (unsigned layer = 0; layer < 5; layer++) {
			char name[64];

			snprintf(name, sizeof(name), "model.layers.%u.self_attn.q_proj.bias", layer);
			folder_writer_floats(&w, name, WEIR_DTYPE_F16, 1, (uint64_t[]){64}, bias);
			snprintf(name, sizeof(name), "model.layers.%u.mlp.down_proj.bias", layer);
			folder_writer_floats(&w, name, WEIR_DTYPE_F16, 1, (uint64_t[]){64}, bias);
		}
		folder_put_tensors(folder[i], &w, 1);
		tell(folder[i], &token, 1, logits[i], type);
		folder_writer_free(&w);
		free(config);
	}
	ck_assert_double_lt(model_distance(logits[0], logits[1], 512), SAME_LOGITS);
	ck_assert_double_gt(model_distance(logits[0], logits[2], 512), 10 * SAME_LOGITS);
	for (int i = 0; i < 2; i++) {
		folder_remove(folder[i]);
		free(folder[i]);
	}
}
END_TEST

/* BF16 is F32 cut short: the same folder with each float cut is the same model. */
START_TEST(bf16)
{
	const char *gguf = suite_data(STORY_MODEL, "BF16");
	const struct story half = {.type = WEIR_DTYPE_BF16}, whole = {.type = WEIR_DTYPE_F32};
	int32_t tokens[2][50];
	char *folder[2], *config, type[16];
	struct folder_writer w;

	if (!gguf)
		return;
	folder[0] = write_story(gguf, &half, 1);
	folder[1] = folder_make();
	folder_story(&w, gguf, &whole, &config);
	for (size_t i = 0; i < w.n; i++)
		for (size_t at = 0; at < w.tensors[i].size; at += 4)
			memset(w.tensors[i].data + at, 0, 2);
	folder_put(folder[1], "config.json", config, strlen(config));
	folder_put_tensors(folder[1], &w, 1);
	check_weights(folder[0], folder[1]);
	tell(folder[0], tokens[0], 50, NULL, type);
	ck_assert_str_eq(type, "BF16");
	tell(folder[1], tokens[1], 50, NULL, type);
	ck_assert(!memcmp(tokens[0], tokens[1], sizeof(tokens[0])));
	free(config);
	folder_writer_free(&w);
	for (int i = 0; i < 2; i++) {
		folder_remove(folder[i]);
		free(folder[i]);
	}
}
END_TEST

/* A folder as weir_file_* lists it: with the names and types in its files. */
START_TEST(listed)
{
	char *folder = folder_make(), key[64], value[64];
	struct weir_file_tensor t;
	struct folder_writer w;
	const char *type;
	weir_file *f;
	size_t i;

	folder_sample(&w);
	folder_put_tensors(folder, &w, 2);
	ck_assert_msg(!weir_file_open(&f, folder), "%s", weir_error());
	ck_assert_uint_eq(weir_file_meta_count(f), 0);
	weir_file_close(f);
	folder_put(folder, "config.json", folder_sample_config, strlen(folder_sample_config));
	ck_assert_msg(!weir_file_open(&f, folder), "%s", weir_error());
	ck_assert_str_eq(weir_file_format(f), "safetensors, 2 shards");
	for (i = 0; i < weir_file_meta_count(f); i++) {
		ck_assert(!weir_file_meta(f, i, key, sizeof(key), &type, value, sizeof(value)));
		if (!strcmp(key, "quantization_config.group_size"))
			break;
	}
	ck_assert_str_eq(type, "i64");
	ck_assert_str_eq(value, "32");
	ck_assert_int_eq(weir_file_meta(f, 100, key, sizeof(key), &type, value, sizeof(value)), -ERANGE);
	ck_assert_uint_eq(weir_file_tensor_count(f), w.n);
	ck_assert(!weir_file_tensor(f, 4, &t));
	ck_assert_str_eq(t.name, "model.layers.0.self_attn.q_proj.qweight");
	ck_assert_str_eq(t.type, "I32");
	ck_assert(t.n_dims == 2 && t.dim[0] == 64 && t.dim[1] == 8 && t.bytes == 64 * 8 * 4 && t.shard == 1 && t.offset);
	ck_assert_int_eq(weir_file_tensor(f, w.n, &t), -ERANGE);
	weir_file_close(f);
	folder_writer_free(&w);
	folder_remove(folder);
	free(folder);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("checkpoint");
	TCase *tc = tcase_create("checkpoint");

	tcase_add_unchecked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 0);
	tcase_add_loop_test(tc, golden_story, 0, (int)WEIR_ARRAY_SIZE(floats));
	tcase_add_test(tc, bf16);
	tcase_add_loop_test(tc, awq, 0, (int)WEIR_ARRAY_SIZE(groups));
	tcase_add_test(tc, awq_rows);
	tcase_add_loop_test(tc, awq_scales, 0, 3);
	tcase_add_test(tc, biases);
	tcase_add_test(tc, listed);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
