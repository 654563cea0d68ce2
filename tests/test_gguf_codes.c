/* SPDX-License-Identifier: MIT */
/* GGUF files with codes: the same weights as their blocks, run in the planes of codes, and refused where they are none. */
#include <math.h>

#include "format/checkpoint.h"
#include "gguf_writer.h"
#include "models.h"
#include "quant/blocks.h"
#include "suite.h"
#include "weir/weir.h"

#define DIM 64
#define FF 96
#define VOCAB 32
#define Q "blk.0.attn_q.weight"

static weir_device *dev;

static void set_up(void)
{
	dev = model_device(NULL, NULL, 2, WEIR_PROVIDER_AUTO);
}

static void tear_down(void)
{
	weir_device_close(dev);
}

/* ---- a model of one layer -------------------------------------------------------------------- */

struct coded {
	unsigned bits;
	uint32_t group; /* as the key has it: 0 is a row */
	bool row_act;
	const char *type; /* as the model says it */
};

static uint32_t next(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static void store_half(uint8_t *at, float value)
{
	const uint16_t half = weir_float_to_half(value);

	memcpy(at, &half, 2);
}

static void fill_q4_1(struct weir_block_q4_1 *b, unsigned bits, uint32_t group, uint32_t *state)
{
	float scale = 0.01f + (float)(group * 37 % 11) * 0.004f;
	uint32_t zero = (group * 5 + 3) % (1u << bits);

	store_half(b->d, scale);
	store_half(b->m, -(float)zero * weir_load_half(b->d));
	for (int i = 0; i < 16; i++)
		b->qs[i] = (uint8_t)(next(state) % (1u << bits) | next(state) % (1u << bits) << 4);
}

static void fill_q8_0(struct weir_block_q8_0 *b, uint32_t group, uint32_t *state)
{
	store_half(b->d, 0.0004f + (float)(group * 37 % 11) * 0.0001f);
	for (int i = 0; i < 32; i++)
		b->qs[i] = (int8_t)(next(state) % 255 - 127);
}

/* Blocks of rows x k, whose groups share scale and minimum; malloced. */
static void *fill(const struct coded *c, uint64_t rows, uint64_t k, uint32_t seed)
{
	const uint64_t group = c->group ? c->group : k, groups = (k + group - 1) / group;
	const size_t bytes = c->bits == 8 ? sizeof(struct weir_block_q8_0) : sizeof(struct weir_block_q4_1);
	char *blocks = calloc(rows * k / 32, bytes);

	ck_assert_ptr_nonnull(blocks);
	for (uint64_t i = 0; i < rows * k / 32; i++) {
		const uint32_t g = (uint32_t)(i / (k / 32) * groups + i % (k / 32) * 32 / group);

		if (c->bits == 8)
			fill_q8_0((void *)(blocks + i * bytes), g, &seed);
		else
			fill_q4_1((void *)(blocks + i * bytes), c->bits, g, &seed);
	}
	return blocks;
}

static void add_floats(struct gguf_writer *w, const char *name, uint64_t n, uint64_t rows, uint32_t seed)
{
	float *values = malloc(n * rows * sizeof(*values));

	ck_assert_ptr_nonnull(values);
	for (uint64_t i = 0; i < n * rows; i++)
		values[i] = rows == 1 ? 1 : (float)(next(&seed) % 2001) / 1000 - 1;
	gguf_writer_tensor(w, name, WEIR_TYPE_F32, rows == 1 ? 1 : 2, (uint64_t[]){n, rows}, values);
	free(values);
}

static void add_keys(struct gguf_writer *w, const struct coded *c)
{
	gguf_writer_string(w, "weir.quantization.method", "awq");
	gguf_writer_u32(w, "weir.quantization.bits", c->bits);
	gguf_writer_u32(w, "weir.quantization.group", c->group);
	if (c->row_act)
		gguf_writer_string(w, "weir.quantization.activations", "token-int8");
}

static struct gguf_writer *shape_keys(void)
{
	struct gguf_writer *w = gguf_writer_new(3);

	gguf_writer_string(w, "general.architecture", "llama");
	gguf_writer_string(w, "tokenizer.ggml.model", "no_vocab");
	gguf_writer_u32(w, "llama.block_count", 1);
	gguf_writer_u32(w, "llama.embedding_length", DIM);
	gguf_writer_u32(w, "llama.feed_forward_length", FF);
	gguf_writer_u32(w, "llama.attention.head_count", 4);
	gguf_writer_u32(w, "llama.attention.head_count_kv", 2);
	gguf_writer_u32(w, "llama.context_length", 64);
	return w;
}

static const struct {
	const char *name;
	uint64_t k, rows;
} matrices[] = {
	{Q, DIM, DIM}, {"blk.0.attn_k.weight", DIM, DIM / 2}, {"blk.0.attn_v.weight", DIM, DIM / 2},
	{"blk.0.attn_output.weight", DIM, DIM}, {"blk.0.ffn_gate.weight", DIM, FF}, {"blk.0.ffn_up.weight", DIM, FF},
	{"blk.0.ffn_down.weight", FF, DIM},
};

/* A file that says what its codes are, or is plain blocks. spoil changes the blocks of attn_q. */
static void write_model(const char *path, const struct coded *c, bool keys, void (*spoil)(void *blocks))
{
	struct gguf_writer *w = shape_keys();

	if (keys)
		add_keys(w, c);
	add_floats(w, "token_embd.weight", DIM, VOCAB, 1);
	for (uint32_t i = 0; i < WEIR_ARRAY_SIZE(matrices); i++) {
		void *blocks = fill(c, matrices[i].rows, matrices[i].k, i + 10);

		if (spoil && !i)
			spoil(blocks);
		gguf_writer_tensor(w, matrices[i].name, c->bits == 8 ? WEIR_TYPE_Q8_0 : WEIR_TYPE_Q4_1, 2,
			(uint64_t[]){matrices[i].k, matrices[i].rows}, blocks);
		free(blocks);
	}
	add_floats(w, "blk.0.attn_norm.weight", DIM, 1, 0);
	add_floats(w, "blk.0.ffn_norm.weight", DIM, 1, 0);
	add_floats(w, "output_norm.weight", DIM, 1, 0);
	ck_assert(!gguf_writer_save(w, path));
	gguf_writer_free(w);
}

/* ---- codes ----------------------------------------------------------------------------------- */

static const struct coded codings[] = {
	{4, 32, false, "W4 g32"}, {4, 64, false, "W4 g64"}, {4, 0, false, "W4"}, {3, 32, false, "W3 g32"},
	{2, 32, false, "W2 g32"}, {8, 32, false, "W8 g32"}, {8, 0, false, "W8"}, {8, 0, true, "W8A8"},
};

static const char coded_path[] = "/tmp/weir-codes-1.gguf", plain_path[] = "/tmp/weir-codes-2.gguf";

static void check_coding(const struct weir_checkpoint_tensor *t, const struct coded *c)
{
	ck_assert_uint_eq(t->coding.bits, c->bits);
	ck_assert_uint_eq(t->coding.group, c->group && c->group < t->dim[0] ? c->group : t->dim[0]);
	ck_assert(t->coding.zeros == (c->bits < 8) && t->coding.row_act == c->row_act);
}

/* Floats by codes against floats of the blocks: halves of the minimums differ in the last place. */
START_TEST(same_weights)
{
	const struct coded *c = &codings[_i];
	struct weir_checkpoint *coded, *plain;
	static float a[FF], b[FF];

	write_model(coded_path, c, true, NULL);
	write_model(plain_path, c, false, NULL);
	ck_assert_msg(!weir_checkpoint_open(coded_path, &coded), "%s", weir_error());
	ck_assert_msg(!weir_checkpoint_open(plain_path, &plain), "%s", weir_error());
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(matrices); i++) {
		const struct weir_checkpoint_tensor *t = weir_checkpoint_tensor(coded, matrices[i].name);
		const struct weir_checkpoint_tensor *u = weir_checkpoint_tensor(plain, matrices[i].name);

		check_coding(t, c);
		ck_assert_uint_eq(u->coding.bits, 0);
		for (size_t row = 0; row < t->dim[1]; row++) {
			ck_assert_msg(!weir_checkpoint_floats(coded, t, row, 1, a), "%s", weir_error());
			ck_assert_msg(!weir_checkpoint_floats(plain, u, row, 1, b), "%s", weir_error());
			for (size_t k = 0; k < t->dim[0]; k++)
				ck_assert_float_le(fabsf(a[k] - b[k]), c->bits == 8 ? 0 : 15 * 0.05f / 2048);
		}
	}
	ck_assert(!weir_checkpoint_tensor(coded, "token_embd.weight")->coding.bits);
	weir_checkpoint_close(coded);
	weir_checkpoint_close(plain);
	unlink(coded_path);
	unlink(plain_path);
}
END_TEST

static void read_logits(const char *path, float *logits, const char *type)
{
	weir_model *m = model_open(dev, path);
	weir_session *s = model_session(m, WEIR_KV_F16, 0, 0, 0, 0);
	struct weir_model_info info;

	weir_model_describe(m, &info);
	ck_assert_str_eq(info.type, type);
	ck_assert_msg(!weir_session_feed(s, (int32_t[]){3, 1, 4, 1, 5}, 5, NULL, NULL), "%s", weir_error());
	ck_assert(!weir_session_logits(s, logits));
	weir_session_destroy(s);
	weir_model_close(m);
}

/*
 * Planes of codes against the planes of their blocks, whose minimums meet sums of other roundings of the activations;
 * one scale a token instead of one for 32 values is coarser.
 */
START_TEST(same_logits)
{
	const struct coded *c = &codings[_i];
	float coded[VOCAB], plain[VOCAB];

	write_model(coded_path, c, true, NULL);
	write_model(plain_path, c, false, NULL);
	read_logits(coded_path, coded, c->type);
	read_logits(plain_path, plain, c->bits == 8 ? "Q8_0" : "Q4_1");
	ck_assert_double_lt(model_distance(coded, plain, VOCAB), c->row_act ? 0.05 : 0.025);
	unlink(coded_path);
	unlink(plain_path);
}
END_TEST

/* ---- what is refused ------------------------------------------------------------------------- */

static void spoil_scale(void *blocks)
{
	((struct weir_block_q4_1 *)blocks)[1].d[0] ^= 1;
	store_half(((struct weir_block_q4_1 *)blocks)[1].m, -3 * weir_load_half(((struct weir_block_q4_1 *)blocks)[1].d));
}

static void spoil_minimum(void *blocks)
{
	((struct weir_block_q4_1 *)blocks)[0].m[0] ^= 1;
}

static void spoil_sign(void *blocks)
{
	((struct weir_block_q4_1 *)blocks)[0].m[1] ^= 0x80;
}

static void spoil_finite(void *blocks)
{
	store_half(((struct weir_block_q4_1 *)blocks)[0].d, __builtin_inff());
}

static void spoil_code(void *blocks)
{
	((struct weir_block_q4_1 *)blocks)[0].qs[7] |= 0x80;
}

static void spoil_q8_0(void *blocks)
{
	((struct weir_block_q8_0 *)blocks)[1].d[0] ^= 1;
}

static const struct {
	struct coded coded;
	void (*spoil)(void *blocks);
	const char *sentence;
} spoilt[] = {
	{{4, 64, false, NULL}, spoil_scale, "the scales of a group are not equal"},
	{{4, 64, false, NULL}, spoil_minimum, "a minimum is no zero point times its scale"},
	{{4, 32, false, NULL}, spoil_sign, "a minimum is no zero point times its scale"},
	{{4, 32, false, NULL}, spoil_finite, "a scale is not finite"},
	{{3, 32, false, NULL}, spoil_code, "a code has more bits than the file says"},
	{{2, 32, false, NULL}, spoil_code, "a code has more bits than the file says"},
	{{8, 0, true, NULL}, spoil_q8_0, "the scales of a group are not equal"},
};

START_TEST(blocks)
{
	weir_model *m;
	char want[256];

	write_model(coded_path, &spoilt[_i].coded, true, spoilt[_i].spoil);
	ck_assert_int_eq(weir_model_load(&m, dev, coded_path, NULL), -EINVAL);
	snprintf(want, sizeof(want), "cannot read %s: the tensor " Q ": in row 0 %s", coded_path, spoilt[_i].sentence);
	ck_assert_str_eq(weir_error(), want);
	unlink(coded_path);
}
END_TEST

static const struct {
	struct coded coded;
	const char *sentence;
} keys[] = {
	{{5, 32, false, NULL}, "weir.quantization.bits is not 2, 3, 4 or 8"},
	{{0, 32, false, NULL}, "weir.quantization.bits is not 2, 3, 4 or 8"},
	{{4, 48, false, NULL}, "weir.quantization.group is not a multiple of 32"},
	{{4, 32, true, NULL}, "weir.quantization.activations goes with 8 bits and one group a row alone"},
	{{8, 32, true, NULL}, "weir.quantization.activations goes with 8 bits and one group a row alone"},
};

static void check_keys(struct gguf_writer *w, const char *sentence)
{
	struct weir_checkpoint *c;
	char want[256];

	ck_assert(!gguf_writer_save(w, coded_path));
	gguf_writer_free(w);
	ck_assert_int_eq(weir_checkpoint_open(coded_path, &c), -EINVAL);
	snprintf(want, sizeof(want), "cannot read %s: %s", coded_path, sentence);
	ck_assert_str_eq(weir_error(), want);
	unlink(coded_path);
}

START_TEST(wrong_keys)
{
	struct gguf_writer *w = shape_keys();

	add_keys(w, &keys[_i].coded);
	check_keys(w, keys[_i].sentence);
}
END_TEST

START_TEST(other_keys)
{
	struct gguf_writer *w = shape_keys();

	gguf_writer_string(w, "weir.quantization.method", "rtn");
	gguf_writer_u32(w, "weir.quantization.bits", 4);
	check_keys(w, "the key weir.quantization.method is there without bits and group");
	w = shape_keys();
	add_keys(w, &(struct coded){8, 0, false, NULL});
	gguf_writer_string(w, "weir.quantization.activations", "int4");
	check_keys(w, "weir.quantization.activations is not token-int8, which is all that Weir knows");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gguf_codes");
	TCase *tc = tcase_create("codes");

	tcase_add_unchecked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 0);
	tcase_add_loop_test(tc, same_weights, 0, (int)WEIR_ARRAY_SIZE(codings));
	tcase_add_loop_test(tc, same_logits, 0, (int)WEIR_ARRAY_SIZE(codings));
	tcase_add_loop_test(tc, blocks, 0, (int)WEIR_ARRAY_SIZE(spoilt));
	tcase_add_loop_test(tc, wrong_keys, 0, (int)WEIR_ARRAY_SIZE(keys));
	tcase_add_test(tc, other_keys);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
