/* SPDX-License-Identifier: MIT */
/* Models that must not load, each with its sentence, and damaged ones that must do no harm. */
#include <math.h>

#include "base/base.h"
#include "gguf_writer.h"
#include "models.h"
#include "suite.h"

static weir_device *dev;

static void set_up(void)
{
	dev = model_device(NULL, NULL, 2, WEIR_PROVIDER_AUTO);
}

static void tear_down(void)
{
	weir_device_close(dev);
}

/* Keys of a model that would load, but for what a case changes: a key that it has is not written twice. */
struct change {
	const char *key;
	double number;	      /* written as u32, or as f32 where it is no whole number */
	const char *string;   /* instead of a number */
	bool missing;	      /* the key is left out */
};

static const struct change plain[] = {
	{"llama.block_count", 1}, {"llama.embedding_length", 32}, {"llama.feed_forward_length", 64},
	{"llama.attention.head_count", 2}, {"llama.attention.head_count_kv", 1}, {"llama.context_length", 128},
};

static const char *const tensors[] = {
	"token_embd.weight", "blk.0.attn_norm.weight", "blk.0.attn_q.weight", "blk.0.attn_k.weight",
	"blk.0.attn_v.weight", "blk.0.attn_output.weight", "blk.0.ffn_norm.weight", "blk.0.ffn_gate.weight",
	"blk.0.ffn_up.weight", "blk.0.ffn_down.weight", "output_norm.weight",
};
static const uint64_t dims[][2] = {
	{32, 50}, {32, 1}, {32, 32}, {32, 16}, {32, 16}, {32, 32}, {32, 1}, {32, 64}, {32, 64}, {64, 32}, {32, 1},
};

/* What a case does to one tensor. */
struct tensor_change {
	const char *name;
	bool missing;
	uint32_t type;
	uint64_t dim[2];
};

static void key_write(struct gguf_writer *w, const struct change *c)
{
	if (c->missing)
		return;
	if (c->string)
		gguf_writer_string(w, c->key, c->string);
	else if (c->number != floor(c->number) || c->number < 0)
		gguf_writer_f32(w, c->key, (float)c->number);
	else
		gguf_writer_u32(w, c->key, (uint32_t)c->number);
}

static const char *write_case(const struct change *change, const struct tensor_change *tc, const char *extra)
{
	static char path[] = "/tmp/weir-hostile-model";
	struct gguf_writer *w = gguf_writer_new(3);
	bool arch = change && !strcmp(change->key, "general.architecture");

	if (!arch)
		gguf_writer_string(w, "general.architecture", "llama");
	gguf_writer_string(w, "tokenizer.ggml.model", "no_vocab");
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(plain); i++)
		if (!change || strcmp(change->key, plain[i].key))
			key_write(w, &plain[i]);
	if (change)
		key_write(w, change);
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(tensors); i++) {
		bool hit = tc && !strcmp(tc->name, tensors[i]);
		const uint64_t *dim = hit && tc->dim[0] ? tc->dim : dims[i];

		if (!hit || !tc->missing)
			gguf_writer_tensor(w, tensors[i], hit ? tc->type : WEIR_TYPE_F32, dim[1] > 1 ? 2 : 1, dim,
				NULL);
	}
	if (extra)
		gguf_writer_tensor(w, extra, WEIR_TYPE_F32, 1, (uint64_t[]){32}, NULL);
	ck_assert_int_eq(gguf_writer_save(w, path), 0);
	gguf_writer_free(w);
	return path;
}

static void refused(const char *path, const char *words)
{
	weir_model *m;
	int err = weir_model_load(&m, dev, path, NULL);

	ck_assert_msg(err < 0, "loaded, though: %s", words);
	ck_assert_msg(strstr(weir_error(), words) != NULL, "'%s' has no '%s'", weir_error(), words);
	ck_assert_msg(strstr(weir_error(), path) != NULL, "'%s' names no file", weir_error());
	ck_assert_msg(!strchr(weir_error(), '\n'), "'%s' is more than a line", weir_error());
	unlink(path);
}

START_TEST(plain_loads)
{
	weir_model *m = model_open(dev, write_case(NULL, NULL, NULL));
	weir_session *s = model_session(m, WEIR_KV_F16, 0, 0, 0, 0);
	int32_t token = 49;

	ck_assert_ptr_null(weir_model_tokenizer(m));
	ck_assert_int_eq(weir_session_feed(s, &token, 1, NULL, NULL), 0);
	weir_session_destroy(s);
	weir_model_close(m);
}
END_TEST

START_TEST(keys)
{
	static const struct {
		struct change change;
		const char *words;
	} cases[] = {
		{{"general.architecture", .string = "gpt-j"}, "the architecture gpt-j is not one that Weir runs"},
		{{"general.architecture", .missing = true}, "general.architecture is missing"},
		{{"general.architecture", 3}, "general.architecture"},
		{{"llama.block_count", .missing = true}, "the key llama.block_count is missing"},
		{{"llama.block_count", 0}, "llama.block_count is 0"},
		{{"llama.block_count", 2}, "the tensor blk.1.attn_norm.weight is missing"},
		{{"llama.block_count", 4e9}, "llama.block_count is 4000000000"},
		{{"llama.block_count", .string = "two"}, "llama.block_count"},
		{{"llama.embedding_length", 0}, "llama.embedding_length is 0"},
		{{"llama.embedding_length", 64}, "it must be 64 x 50"},
		{{"llama.feed_forward_length", 4e9}, "llama.feed_forward_length is 4000000000"},
		{{"llama.feed_forward_length", 63}, "it must be 32 x 63"},
		{{"llama.attention.head_count", 0}, "llama.attention.head_count is 0"},
		{{"llama.attention.head_count", 3}, "heads of 10 with 10 rotated"},
		{{"llama.attention.head_count", 4096}, "4096 heads share 1 kv heads"},
		{{"llama.attention.head_count_kv", 3}, "2 heads share 3 kv heads"},
		{{"llama.attention.key_length", 512}, "llama.attention.key_length is 512"},
		{{"llama.attention.key_length", 18}, "heads of 18"},
		{{"llama.attention.value_length", 32}, "values of 32 beside keys of 16"},
		{{"llama.rope.dimension_count", 32}, "llama.rope.dimension_count is 32"},
		{{"llama.rope.dimension_count", 7}, "16 with 7 rotated"},
		{{"llama.rope.freq_base", -2.5}, "llama.rope.freq_base is -2.5"},
		{{"llama.rope.freq_base", NAN}, "llama.rope.freq_base"},
		{{"llama.rope.scaling.type", .string = "yarn"}, "llama.rope.scaling.type is yarn"},
		{{"llama.rope.scale_linear", -0.5}, "the scaling factor of RoPE is -0.5"},
		{{"llama.attention.layer_norm_rms_epsilon", 1.5}, "layer_norm_rms_epsilon is 1.5"},
		{{"llama.expert_count", 8}, "a mixture of experts is not supported"},
	};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(cases); i++)
		refused(write_case(&cases[i].change, NULL, NULL), cases[i].words);
}
END_TEST

START_TEST(shapes)
{
	static const struct {
		struct tensor_change change;
		const char *words;
	} cases[] = {
		{{"token_embd.weight", true}, "the tensor token_embd.weight is missing"},
		{{"blk.0.ffn_down.weight", true}, "the tensor blk.0.ffn_down.weight is missing"},
		{{"output_norm.weight", true}, "the tensor output_norm.weight is missing"},
		{{"blk.0.attn_k.weight", .dim = {32, 32}}, "the tensor blk.0.attn_k.weight is 32 x 32 x 1 x 1, it must be 32 x 16"},
		{{"blk.0.attn_norm.weight", .dim = {16, 1}}, "the tensor blk.0.attn_norm.weight is 16"},
		{{"token_embd.weight", .dim = {16, 50}}, "it must be 32 x 50"},
	};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(cases); i++)
		refused(write_case(NULL, &cases[i].change, NULL), cases[i].words);
	refused(write_case(NULL, NULL, "blk.0.attn_sinks.weight"), "the tensor blk.0.attn_sinks.weight is none that");
}
END_TEST

/* A type that Weir does not run is named: its number is put in the place of F32's. */
START_TEST(types)
{
	const char *path = write_case(NULL, NULL, NULL);
	static const char name[] = "blk.0.attn_q.weight";
	char *data, *at;
	size_t size;
	uint32_t iq4_nl = 20;
	FILE *f;

	ck_assert_int_eq(weir_file_read(path, 1 << 20, &data, &size), 0);
	at = memmem(data, size, name, strlen(name));
	ck_assert(at);
	memcpy(at + strlen(name) + 4 + 2 * 8, &iq4_nl, 4);
	f = fopen(path, "wb");
	ck_assert(f && fwrite(data, size, 1, f) == 1 && !fclose(f));
	free(data);
	refused(path, "IQ4_NL");
	refused("/tmp/weir-no-such-model", "cannot read");
}
END_TEST

/* Any byte of a model's header may flip: it loads and runs, or a sentence says why not. */
START_TEST(flips)
{
	const char *path = write_case(NULL, NULL, NULL);
	char *data;
	size_t size, loaded = 0, head = 1500;
	uint32_t x = 1;

	ck_assert_int_eq(weir_file_read(path, 1 << 20, &data, &size), 0);
	for (int round = 0; round < 400; round++) {
		size_t at = (x = x * 1664525 + 1013904223) % WEIR_MIN(head, size);
		char old = data[at];
		weir_model *m;
		FILE *f = fopen(path, "wb");

		data[at] ^= (char)(1 << (x >> 29));
		ck_assert(f && fwrite(data, size, 1, f) == 1 && !fclose(f));
		data[at] = old;
		if (weir_model_load(&m, dev, path, NULL)) {
			ck_assert_int_gt((int)strlen(weir_error()), 10);
			continue;
		}
		loaded++;
		if (loaded % 8 == 0) {
			weir_session *s = model_session(m, WEIR_KV_F16, 64, 0, 0, 0);
			int32_t token = 1;

			ck_assert_int_eq(weir_session_feed(s, &token, 1, NULL, NULL), 0);
			weir_session_destroy(s);
		}
		weir_model_close(m);
	}
	ck_assert_uint_gt(loaded, 0);
	ck_assert_uint_lt(loaded, 400);
	free(data);
	unlink(path);
}
END_TEST

static int cancel(void *user, const char *what, uint64_t done, uint64_t total)
{
	(void)what;
	ck_assert_uint_le(done, total);
	return ++*(int *)user == 3;
}

START_TEST(cancelled)
{
	struct weir_model_settings set;
	int calls = 0;
	weir_model *m;

	weir_model_settings_default(&set);
	set.progress = cancel;
	set.user = &calls;
	ck_assert_int_eq(weir_model_load(&m, dev, write_case(NULL, NULL, NULL), &set), -ECANCELED);
	ck_assert_int_eq(calls, 3);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("model");
	TCase *t = tcase_create("model");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 300);
	tcase_add_test(t, plain_loads);
	tcase_add_test(t, keys);
	tcase_add_test(t, shapes);
	tcase_add_test(t, types);
	tcase_add_test(t, flips);
	tcase_add_test(t, cancelled);
	suite_add_tcase(s, t);
	return suite_run(s);
}
