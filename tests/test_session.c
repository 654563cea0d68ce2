/* SPDX-License-Identifier: MIT */
/* Models end to end: the golden story, agreement with the reference, contexts, saved sessions, zero copy. */
#include <math.h>
#include <pthread.h>

#include "base/base.h"
#include "llm/session.h"
#include "models.h"
#include "reference.h"
#include "suite.h"

#define STORY_MODEL "llm/stories260K-f32.gguf"
#define STORY_TEXT "llm/stories260K-greedy200.txt"

/* Without outer white space. */
static char *trimmed(char *text)
{
	size_t len;

	while (*text == ' ' || *text == '\n')
		text++;
	len = strlen(text);
	while (len && (text[len - 1] == ' ' || text[len - 1] == '\n'))
		text[--len] = '\0';
	return text;
}

static void story_with(const char *tier, const char *schedule, unsigned threads, enum weir_provider provider,
	const char *plan)
{
	const char *model = suite_data(STORY_MODEL, "a story"), *golden = suite_data(STORY_TEXT, "a story");
	weir_device *dev;
	weir_model *m;
	weir_session *s;
	char *text, *want;
	size_t size;

	if (!model || !golden)
		return;
	dev = model_device_with(tier, schedule, threads, provider, plan);
	m = model_open(dev, model);
	s = model_session(m, WEIR_KV_F16, 0, 0, 0, 0);
	text = model_greedy(s, m, "", 200);
	ck_assert_int_eq(weir_file_read(golden, 4096, &want, &size), 0);
	ck_assert_str_eq(trimmed(text), trimmed(want));
	free(text);
	free(want);
	weir_session_destroy(s);
	weir_model_close(m);
	weir_device_close(dev);
}

static void story(const char *tier, const char *schedule, unsigned threads, enum weir_provider provider)
{
	story_with(tier, schedule, threads, provider, NULL);
}

/* Which tiers this machine can run: the others are refused by a sentence, and there is nothing to test. */
static bool has_tier(const char *tier)
{
	struct weir_device_settings set;
	weir_device *dev;

	weir_device_settings_default(&set);
	set.device = getenv("WEIR_TEST_DEVICE");
	set.tier = tier;
	if (weir_device_open(&dev, &set)) {
		printf("skip tier %s: %s\n", tier, weir_error());
		return false;
	}
	weir_device_close(dev);
	return true;
}

static const char *const tiers[] = {"portable", "pmaddubsw", "vnni"};

START_TEST(story_tiers)
{
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(tiers); i++)
		if (has_tier(tiers[i]))
			for (unsigned threads = 1; threads <= 2; threads++)
				story(tiers[i], "cpu", threads, WEIR_PROVIDER_AUTO);
}
END_TEST

/* All kernels of a plan in one: op by op, and in one launch, the prompt's too. */
START_TEST(story_fused)
{
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(tiers); i++) {
		if (!has_tier(tiers[i]))
			continue;
		story_with(tiers[i], "cpu", 2, WEIR_PROVIDER_AUTO, "whole");
		story_with(tiers[i], "cpu", 1, WEIR_PROVIDER_AUTO, "whole");
		story_with(tiers[i], "cpu", 2, WEIR_PROVIDER_AUTO, "chain");
	}
	story_with(NULL, "cpu", 2, WEIR_PROVIDER_SHADOW, "whole");
}
END_TEST

START_TEST(story_gpu_schedule)
{
	story("portable", "gpu", 1, WEIR_PROVIDER_AUTO);
	story("portable", "gpu", 2, WEIR_PROVIDER_AUTO);
}
END_TEST

START_TEST(story_shadow)
{
	story(NULL, "cpu", 2, WEIR_PROVIDER_SHADOW);
	story(NULL, "gpu", 2, WEIR_PROVIDER_SHADOW);
}
END_TEST

static int each_keep(void *user, size_t i, const float *logits)
{
	struct {
		float *all;
		size_t vocab;
	} *k = user;

	memcpy(k->all + i * k->vocab, logits, k->vocab * sizeof(*logits));
	return 0;
}

/*
 * Logits after each of n tokens from the reference, from prefill and from decode: the last two may differ from the first
 * by what int8 activations and a cache of halves cost, and hardly from each other.
 */
static void agrees(const struct model_shape *shape, enum weir_kv kv, double limit, const char *tier,
	const char *schedule)
{
	enum { N = 40 };
	char *path = model_write(shape, 11);
	weir_device *dev = model_device(tier, schedule, 2, WEIR_PROVIDER_AUTO);
	weir_model *m = model_open(dev, path);
	weir_session *one = model_session(m, kv, 64, 0, 0, 0), *all = model_session(m, kv, 64, 0, 0, 17);
	struct weir_reference *r;
	size_t vocab = shape->vocab;
	float *fill = calloc(N * vocab, sizeof(*fill)), *step = calloc(vocab, sizeof(*step));
	struct {
		float *all;
		size_t vocab;
	} keep = {fill, vocab};
	double worst = 0, apart = 0;
	int32_t tokens[N];

	ck_assert_msg(!weir_reference_open(&r, path, 64, 0, 0), "%s", weir_error());
	model_tokens(tokens, N, shape->vocab, 5);
	ck_assert_msg(!weir_session_feed_each(all, tokens, N, each_keep, &keep), "%s", weir_error());
	for (int i = 0; i < N; i++) {
		const float *want = weir_reference_feed(r, tokens[i]);

		ck_assert_msg(want != NULL, "%s", weir_error());
		ck_assert_msg(!weir_session_feed(one, &tokens[i], 1, NULL, NULL), "%s", weir_error());
		ck_assert_int_eq(weir_session_logits(one, step), 0);
		worst = fmax(worst, model_distance(step, want, vocab));
		apart = fmax(apart, model_distance(fill + i * vocab, step, vocab));
	}
	ck_assert_msg(worst <= limit, "%s %s: %g from the reference, at most %g", shape->arch,
		weir_type_name(shape->type), worst, limit);
	ck_assert_msg(apart <= limit / 2, "%s %s: prefill is %g from decode", shape->arch,
		weir_type_name(shape->type), apart);
	free(fill);
	free(step);
	weir_reference_close(r);
	weir_session_destroy(one);
	weir_session_destroy(all);
	weir_model_close(m);
	weir_device_close(dev);
	unlink(path);
	free(path);
}

/* What a cache of halves costs, and what activations of int8 cost, relative to the logits' length. */
#define HALF_LIMIT 2e-3
#define INT8_LIMIT 4e-2
/* A cache of int8 on top of it. */
#define INT8_KV_LIMIT 8e-2

static const struct model_shape shapes[] = {
	{"llama", WEIR_TYPE_F32, 2, 64, 172, 8, 4, 300, .untied = true},
	{"llama", WEIR_TYPE_F32, 2, 96, 200, 6, 2, 100, .linear_scale = 4},
	{"llama", WEIR_TYPE_F16, 2, 128, 256, 4, 4, 257, .rope_factors = true},
	{"llama", WEIR_TYPE_BF16, 1, 128, 320, 8, 1, 64, .n_rot = 8},
	{"qwen2", WEIR_TYPE_F32, 2, 128, 192, 8, 2, 200, .bias = true},
	{"qwen3", WEIR_TYPE_F32, 2, 64, 160, 4, 2, 333, .head_dim = 32, .untied = true},
	{"qwen3", WEIR_TYPE_F16, 1, 160, 160, 2, 2, 50, .head_dim = 80},
};

START_TEST(agrees_floats)
{
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(shapes); i++)
		agrees(&shapes[i], WEIR_KV_F16, HALF_LIMIT, NULL, NULL);
}
END_TEST

static const enum weir_type quantized[] = {
	WEIR_TYPE_Q4_0, WEIR_TYPE_Q4_1, WEIR_TYPE_Q5_0, WEIR_TYPE_Q5_1, WEIR_TYPE_Q8_0, WEIR_TYPE_Q2_K,
	WEIR_TYPE_Q3_K, WEIR_TYPE_Q4_K, WEIR_TYPE_Q5_K, WEIR_TYPE_Q6_K,
};

START_TEST(agrees_quantized)
{
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(quantized); i++) {
		struct model_shape shape = {"llama", quantized[i], 2, 256, 512, 4, 2, 160};

		agrees(&shape, WEIR_KV_F16, INT8_LIMIT, NULL, NULL);
		shape = (struct model_shape){"qwen2", quantized[i], 1, 256, 256, 4, 2, 90, .bias = true,
			.untied = true, .mixed = WEIR_TYPE_Q6_K};
		agrees(&shape, WEIR_KV_Q8, INT8_KV_LIMIT, "portable", NULL);
	}
}
END_TEST

START_TEST(agrees_gpu_schedule)
{
	struct model_shape q = {"qwen3", WEIR_TYPE_Q4_K, 1, 256, 256, 4, 2, 90, .mixed = WEIR_TYPE_Q8_0};

	agrees(&shapes[0], WEIR_KV_F16, HALF_LIMIT, "portable", "gpu");
	agrees(&shapes[5], WEIR_KV_Q8, INT8_KV_LIMIT, "portable", "gpu");
	agrees(&q, WEIR_KV_F16, INT8_LIMIT, "portable", "gpu");
}
END_TEST

/* A small model that the tests below share. */
static weir_device *dev;
static weir_model *model;
static char *model_path;
enum { VOCAB = 300 };

static void set_up(void)
{
	struct model_shape shape = {"llama", WEIR_TYPE_Q4_0, 2, 64, 128, 4, 2, VOCAB};

	model_path = model_write(&shape, 3);
	dev = model_device(NULL, NULL, 2, WEIR_PROVIDER_AUTO);
	model = model_open(dev, model_path);
}

static void tear_down(void)
{
	weir_model_close(model);
	weir_device_close(dev);
	unlink(model_path);
	free(model_path);
}

static int stop_never(void *user, int32_t token, const char *text, size_t len)
{
	(void)token;
	(void)text;
	(void)len;
	++*(int *)user;
	return 0;
}

START_TEST(context_full)
{
	weir_session *s = model_session(model, WEIR_KV_F16, 32, 0, 0, 0);
	int32_t tokens[40];
	enum weir_stop stop;
	int shown = 0;

	model_tokens(tokens, 40, VOCAB, 1);
	ck_assert_int_eq(weir_session_feed(s, tokens, 33, NULL, NULL), -ENOSPC);
	ck_assert(strstr(weir_error(), "--ctx"));
	ck_assert_uint_eq(weir_session_position(s), 0);
	ck_assert_int_eq(weir_session_feed(s, tokens, 30, NULL, NULL), 0);
	ck_assert_int_eq(weir_session_feed(s, tokens, 3, NULL, NULL), -ENOSPC);
	ck_assert_uint_eq(weir_session_position(s), 30);
	ck_assert_int_eq(weir_session_generate(s, 100, stop_never, &shown, &stop), 0);
	ck_assert_int_eq(stop, WEIR_STOP_FULL);
	ck_assert_int_eq(shown, 3); /* two more fit, and one is known without being fed */
	weir_session_reset(s);
	ck_assert_int_eq(weir_session_feed(s, tokens, 32, NULL, NULL), 0);
	weir_session_destroy(s);
}
END_TEST

START_TEST(bad_calls)
{
	weir_session *s = model_session(model, WEIR_KV_F16, 32, 0, 0, 0);
	struct weir_session_settings set;
	int32_t token = VOCAB;
	float logits[VOCAB];
	weir_session *none;

	ck_assert_int_eq(weir_session_feed(s, &token, 1, NULL, NULL), -EINVAL);
	token = -1;
	ck_assert_int_eq(weir_session_feed(s, &token, 1, NULL, NULL), -EINVAL);
	ck_assert_int_eq(weir_session_logits(s, logits), -ENODATA);
	ck_assert_int_eq(weir_session_sample(s, &token), -ENODATA);
	weir_session_settings_default(&set);
	set.sinks = 4;
	ck_assert_int_eq(weir_session_create(&none, model, &set), -EINVAL);
	set.sinks = 0;
	set.ctx = 1u << 31;
	ck_assert_int_eq(weir_session_create(&none, model, &set), -EINVAL);
	/* 2 layers of 2 heads of 16, keys and values of 2 bytes: more than one buffer of most devices. */
	set.ctx = 1u << 24;
	if (weir_device_props(dev)->max_buffer < (256ull << 24))
		ck_assert_int_eq(weir_session_create(&none, model, &set), -EFBIG);
	set.ctx = 32;
	set.batch = 1;
	ck_assert_int_eq(weir_session_create(&none, model, &set), -EINVAL);
	set.batch = 0;
	set.kv = (enum weir_kv)9;
	ck_assert_int_eq(weir_session_create(&none, model, &set), -EINVAL);
	weir_session_destroy(s);
}
END_TEST

/* What a session gives after more tokens, in fixed steps. */
static void continue_by(weir_session *s, float *logits)
{
	int32_t tokens[9];

	model_tokens(tokens, 9, VOCAB, 8);
	ck_assert_msg(!weir_session_feed(s, tokens, 5, NULL, NULL), "%s", weir_error());
	for (int i = 5; i < 9; i++)
		ck_assert_msg(!weir_session_feed(s, &tokens[i], 1, NULL, NULL), "%s", weir_error());
	ck_assert_int_eq(weir_session_logits(s, logits), 0);
}

static void save_and_load(enum weir_kv kv, uint32_t sinks, uint32_t window, size_t n)
{
	const char *path = "/tmp/weir-session-test";
	weir_session *a = model_session(model, kv, 256, sinks, window, 32);
	weir_session *b = model_session(model, kv, 256, sinks, window, 32);
	float want[VOCAB], got[VOCAB];
	int32_t tokens[400], x, y;
	char *data;
	size_t size;

	model_tokens(tokens, n, VOCAB, 2);
	ck_assert_int_eq(weir_session_save(a, path), -ENODATA);
	ck_assert_int_eq(weir_session_feed(a, tokens, n, NULL, NULL), 0);
	ck_assert_int_eq(weir_session_sample(a, &x), 0); /* moves the generator */
	ck_assert_msg(!weir_session_save(a, path), "%s", weir_error());
	ck_assert_msg(!weir_session_load(b, path), "%s", weir_error());
	ck_assert_uint_eq(weir_session_position(b), n);
	ck_assert_int_eq(weir_session_sample(a, &x), 0);
	ck_assert_int_eq(weir_session_sample(b, &y), 0);
	ck_assert_int_eq(x, y);
	continue_by(a, want);
	continue_by(b, got);
	ck_assert_mem_eq(got, want, sizeof(got));

	/* Damage anywhere is found, and the session stays as it was. */
	ck_assert_int_eq(weir_file_read(path, 1 << 26, &data, &size), 0);
	for (size_t at = 0; at < size; at += size / 37 + 1) {
		FILE *f = fopen(path, "wb");

		data[at] ^= 4;
		ck_assert(f && fwrite(data, size, 1, f) == 1 && !fclose(f));
		ck_assert_int_eq(weir_session_load(b, path), -EINVAL);
		ck_assert(strstr(weir_error(), path));
		ck_assert_uint_eq(weir_session_position(b), n + 9);
		data[at] ^= 4;
		ck_assert_int_eq(truncate(path, (off_t)at), 0);
		ck_assert_int_eq(weir_session_load(b, path), -EINVAL);
	}
	ck_assert_int_eq(weir_session_load(b, "/tmp/weir-no-such-file"), -ENOENT);
	free(data);
	unlink(path);
	weir_session_destroy(a);
	weir_session_destroy(b);
}

START_TEST(save)
{
	save_and_load(WEIR_KV_F16, 0, 0, 1);
	save_and_load(WEIR_KV_F16, 0, 0, 100);
	save_and_load(WEIR_KV_Q8, 0, 0, 100);
	save_and_load(WEIR_KV_F16, 4, 60, 3);
	save_and_load(WEIR_KV_Q8, 4, 60, 50);
	save_and_load(WEIR_KV_F16, 4, 60, 400);
}
END_TEST

START_TEST(save_of_others)
{
	const char *path = "/tmp/weir-session-test";
	weir_session *a = model_session(model, WEIR_KV_F16, 256, 0, 0, 32), *b;
	struct model_shape shape = {"llama", WEIR_TYPE_Q4_0, 2, 64, 128, 4, 2, VOCAB};
	char *other = model_write(&shape, 4);
	weir_model *m = model_open(dev, other);
	int32_t tokens[100];

	model_tokens(tokens, 100, VOCAB, 2);
	ck_assert_int_eq(weir_session_feed(a, tokens, 100, NULL, NULL), 0);
	ck_assert_int_eq(weir_session_save(a, path), 0);
	b = model_session(m, WEIR_KV_F16, 256, 0, 0, 32);
	ck_assert_int_eq(weir_session_load(b, path), -EINVAL);
	ck_assert(strstr(weir_error(), "another model"));
	weir_session_destroy(b);
	b = model_session(model, WEIR_KV_Q8, 256, 0, 0, 32);
	ck_assert_int_eq(weir_session_load(b, path), -EINVAL);
	weir_session_destroy(b);
	b = model_session(model, WEIR_KV_F16, 64, 0, 0, 32);
	ck_assert_int_eq(weir_session_load(b, path), -EINVAL);
	weir_session_destroy(b);
	/* A larger context takes it. */
	b = model_session(model, WEIR_KV_F16, 1024, 0, 0, 32);
	ck_assert_msg(!weir_session_load(b, path), "%s", weir_error());
	weir_session_destroy(b);
	weir_session_destroy(a);
	weir_model_close(m);
	unlink(path);
	unlink(other);
	free(other);
}
END_TEST

/* Steps of one token copy nothing, or, with the shadow provider, their own inputs and the logits alone. */
static void copies(enum weir_provider provider)
{
	weir_device *d = model_device(NULL, NULL, 2, provider);
	weir_model *m = model_open(d, model_path);
	weir_session *s = model_session(m, WEIR_KV_F16, 128, 0, 0, 0);
	const void *kv = weir_buffer_address(s->io.kv);
	uint64_t before, step;
	int32_t tokens[20];

	model_tokens(tokens, 20, VOCAB, 2);
	ck_assert_int_eq(weir_session_feed(s, tokens, 1, NULL, NULL), 0);
	before = weir_profile_copied(d);
	for (int i = 1; i < 20; i++)
		ck_assert_int_eq(weir_session_feed(s, &tokens[i], 1, NULL, NULL), 0);
	step = (weir_profile_copied(d) - before) / 19;
	if (provider == WEIR_PROVIDER_SHADOW)
		ck_assert_uint_eq(step, s->io.one.size + VOCAB * sizeof(float));
	else if (weir_buffer_caps(s->io.kv) & WEIR_BUFFER_UNIFIED)
		ck_assert_uint_eq(step, 0);
	else
		printf("skip zero copy: the device %s is not unified\n", weir_device_name(d));
	ck_assert_ptr_eq(weir_buffer_address(s->io.kv), kv);
	weir_session_destroy(s);
	weir_model_close(m);
	weir_device_close(d);
}

START_TEST(copies_nothing)
{
	copies(WEIR_PROVIDER_HOST);
	copies(WEIR_PROVIDER_SHADOW);
}
END_TEST

/*
 * One address through all: repacking wrote the weights where the host finds them and kernels read them (test_device
 * shows that a kernel's pointer is that address), and what a step stores as keys is there as well.
 */
START_TEST(one_address)
{
	weir_session *s = model_session(model, WEIR_KV_F16, 64, 0, 0, 0);
	const struct weir_matrix *w = &model->layers[1].down.part[0];
	const struct weir_gguf_tensor *t;
	struct weir_gguf *g;
	float plane[128], file[128];
	int32_t token = 7;
	void *at, *kv;

	if (!(weir_buffer_caps(w->buffer) & WEIR_BUFFER_UNIFIED)) {
		printf("skip one_address: the device is not unified\n");
		weir_session_destroy(s);
		return;
	}
	ck_assert_int_eq(weir_gguf_open(model_path, &g), 0);
	t = weir_gguf_tensor(g, "blk.1.ffn_down.weight");
	ck_assert_int_eq(weir_buffer_begin(w->buffer, w->offset, w->layout.size, WEIR_ACCESS_READ, &at), 0);
	ck_assert_ptr_eq(at, (const char *)weir_buffer_address(w->buffer) + w->offset);
	for (size_t row = 0; row < w->layout.rows; row++) {
		weir_plane_row(&w->layout, at, row, plane);
		weir_type_to_float(t->type, (const char *)t->data + row * (128 / 32 * 18), 128, file);
		ck_assert_mem_eq(plane, file, sizeof(plane));
	}
	ck_assert_int_eq(weir_buffer_end(w->buffer, at), 0);
	weir_gguf_close(g);

	ck_assert_int_eq(weir_session_feed(s, &token, 1, NULL, NULL), 0);
	ck_assert_int_eq(weir_buffer_begin(s->io.kv, 0, s->io.layer.size, WEIR_ACCESS_READ, &kv), 0);
	ck_assert_ptr_eq(kv, weir_buffer_address(s->io.kv));
	ck_assert_uint_ne(((uint16_t *)kv)[0] & 0x7fff, 0);
	ck_assert_int_eq(weir_buffer_end(s->io.kv, kv), 0);
	weir_session_destroy(s);
}
END_TEST

static void *talk(void *user)
{
	weir_session *s = user;
	int shown = 0;
	enum weir_stop stop;

	return weir_session_generate(s, 100, stop_never, &shown, &stop) || shown != 100 ? s : NULL;
}

/* Sessions of one model on two threads do not disturb each other. */
START_TEST(two_at_once)
{
	weir_session *s[3];
	float logits[3][VOCAB];
	pthread_t thread[2];
	int32_t token = 9;
	void *bad;

	for (int i = 0; i < 3; i++) {
		s[i] = model_session(model, WEIR_KV_F16, 256, 0, 0, 0);
		ck_assert_int_eq(weir_session_feed(s[i], &token, 1, NULL, NULL), 0);
	}
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, talk, s[i]), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(pthread_join(thread[i], &bad), 0);
		ck_assert_ptr_null(bad);
	}
	ck_assert_ptr_null(talk(s[2]));
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(weir_session_logits(s[i], logits[i]), 0);
		ck_assert_mem_eq(logits[i], logits[0], sizeof(logits[0]));
		weir_session_destroy(s[i]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("session");
	TCase *whole = tcase_create("whole"), *small = tcase_create("small");

	tcase_set_timeout(whole, 600);
	tcase_add_test(whole, story_tiers);
	tcase_add_test(whole, story_fused);
	tcase_add_test(whole, story_gpu_schedule);
	tcase_add_test(whole, story_shadow);
	tcase_add_test(whole, agrees_floats);
	tcase_add_test(whole, agrees_quantized);
	tcase_add_test(whole, agrees_gpu_schedule);
	suite_add_tcase(s, whole);
	tcase_add_checked_fixture(small, set_up, tear_down);
	tcase_set_timeout(small, 300);
	tcase_add_test(small, context_full);
	tcase_add_test(small, bad_calls);
	tcase_add_test(small, save);
	tcase_add_test(small, save_of_others);
	tcase_add_test(small, copies_nothing);
	tcase_add_test(small, one_address);
	tcase_add_test(small, two_at_once);
	suite_add_tcase(s, small);
	return suite_run(s);
}
