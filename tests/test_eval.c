/* SPDX-License-Identifier: MIT */
/* weir eval of several models and against a reference, on models whose logits are what the test says. */
#include <math.h>

#include "cli.h"
#include "models.h"
#include "vocabs.h"

#define DIM 32
#define STORIES "llm/stories260K-f32.gguf"

static const char *const one_merge[] = {"a b", NULL}; /* byte-level: 256 bytes and "ab" */
static const char *const other_merge[] = {"b c", NULL};
static const char *const no_merge[] = {NULL};

static void zeros(struct gguf_writer *w, const char *name, uint64_t k, uint64_t rows)
{
	gguf_writer_tensor(w, name, WEIR_TYPE_F32, rows ? 2 : 1, (uint64_t[]){k, rows}, NULL);
}

static void layer(struct gguf_writer *w)
{
	static const char *const matrices[] = {"blk.0.attn_q.weight", "blk.0.attn_k.weight",
		"blk.0.attn_v.weight", "blk.0.attn_output.weight", "blk.0.ffn_gate.weight",
		"blk.0.ffn_up.weight", "blk.0.ffn_down.weight"};

	zeros(w, "blk.0.attn_norm.weight", DIM, 0);
	zeros(w, "blk.0.ffn_norm.weight", DIM, 0);
	for (size_t i = 0; i < sizeof(matrices) / sizeof(matrices[0]); i++)
		zeros(w, matrices[i], DIM, DIM);
}

static void metadata(struct gguf_writer *w)
{
	gguf_writer_string(w, "general.architecture", "llama");
	gguf_writer_u32(w, "llama.block_count", 1);
	gguf_writer_u32(w, "llama.context_length", 64);
	gguf_writer_u32(w, "llama.embedding_length", DIM);
	gguf_writer_u32(w, "llama.feed_forward_length", DIM);
	gguf_writer_u32(w, "llama.attention.head_count", 1);
	gguf_writer_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-9f);
}

/*
 * A model that gives every token the logits (of n tokens) whatever it reads: its layer adds nothing, its embeddings are
 * ones, and so is what the norm makes of them; each row of the output has its logit in DIM equal parts.
 */
static void model(const char *name, const char *const *merges, const float *logits, uint64_t n)
{
	struct vocab vocab = {.pre = "gpt-2", .words = merges};
	struct gguf_writer *w = vocab_write(&vocab);
	float *rows = malloc(n * DIM * sizeof(*rows));
	char path[128];

	ck_assert_ptr_nonnull(rows);
	metadata(w);
	layer(w);
	for (size_t i = 0; i < n * DIM; i++)
		rows[i] = 1;
	gguf_writer_tensor(w, "output_norm.weight", WEIR_TYPE_F32, 1, (uint64_t[]){DIM}, rows);
	gguf_writer_tensor(w, "token_embd.weight", WEIR_TYPE_F32, 2, (uint64_t[]){DIM, n}, rows);
	for (size_t i = 0; i < n * DIM; i++)
		rows[i] = logits[i / DIM] / DIM;
	gguf_writer_tensor(w, "output.weight", WEIR_TYPE_F32, 2, (uint64_t[]){DIM, n}, rows);
	snprintf(path, sizeof(path), "%s/%s", work, name);
	ck_assert_int_eq(gguf_writer_save(w, path), 0);
	gguf_writer_free(w);
	free(rows);
}

static double number(struct json_object *object, const char *key)
{
	return json_object_get_double(json_at(object, key));
}

static struct json_object *row_of(struct json_object *object, size_t i)
{
	return json_object_array_get_idx(json_at(object, "models"), i);
}

/*
 * The reference's logits are all 0, the models' too, but for token 0's: ln 5 and -3. With V tokens, p is 1 / V, and q is
 * 1 / Z with Z = V - 1 + e^a but for token 0: KL = ln Z - ln V - a / V.
 */
START_TEST(by_hand)
{
	const double n = 257, logit[2] = {log(5), -3};
	float logits[257] = {0};
	struct json_object *object, *row;

	model("flat", one_merge, logits, 257);
	logits[0] = (float)logit[0];
	model("high", one_merge, logits, 257);
	logits[0] = (float)logit[1];
	model("low", one_merge, logits, 257);
	object = json_of("$W eval --text $D/text --kl $D/flat -m $D/high $D/low --ctx 10 --json");
	ck_assert_uint_eq(json_object_array_length(json_at(object, "models")), 3);
	row = row_of(object, 0);
	ck_assert_double_eq_tol(number(row, "perplexity"), n, 1e-3);
	ck_assert_double_eq(number(row, "kl"), 0);
	ck_assert_double_eq(number(row, "same_top"), 1);
	/* 39 tokens, "ab" being one: three windows of ten. */
	ck_assert_int_eq(json_object_get_int(json_at(row, "predictions")), 27);
	for (size_t i = 0; i < 2; i++) {
		double z = n - 1 + exp(logit[i]);

		row = row_of(object, i + 1);
		ck_assert_double_eq_tol(number(row, "nll"), log(z), 1e-5);
		ck_assert_double_eq_tol(number(row, "kl"), log(z / n) - logit[i] / n, 2e-7);
		ck_assert_double_eq_tol(number(row, "kl_max"), number(row, "kl"), 1e-7);
		ck_assert_double_eq_tol(number(row, "kl_error"), 0, 1e-8);
		/* All are equally likely to the reference: its first is meant. */
		ck_assert_double_eq(number(row, "same_top"), i == 0);
		ck_assert_double_eq_tol(number(row, "p_shift"), 1 / z - 1 / n, 1e-8);
		ck_assert_double_eq_tol(number(row, "p_rms"), fabs(1 / z - 1 / n), 1e-8);
	}
	json_object_put(object);
}
END_TEST

START_TEST(tables)
{
	float logits[257] = {0};

	model("flat", one_merge, logits, 257);
	ASSERT_STATUS("mkdir -p $D/other && cp $D/flat $D/other/", 0);
	ASSERT_STATUS("$W eval --text $D/text $D/flat", 0);
	ck_assert_int_eq(lines_of(out), 1);
	ASSERT_HAS(out, "perplexity 257.0000, mean NLL 5.5491 nats over 38 predictions");
	ASSERT_STATUS("$W eval --text $D/text -m $D/flat $D/text.none", 1);
	ASSERT_HAS(err, "text.none");
	/* Names that are the same get their folders. */
	ASSERT_STATUS("$W eval --text $D/text --ctx 13 $D/flat $D/other/flat", 0);
	ck_assert_int_eq(lines_of(out), 3);
	ck_assert(!strncmp(out, "model", 5) && !strstr(out, "KL"));
	ASSERT_HAS(out, "/other/flat");
	ASSERT_HAS(out, " 3x13 ");
	ASSERT_STATUS("$W eval --text $D/text --kl $D/flat -m $D/flat", 0);
	ck_assert_int_eq(lines_of(out), 3);
	ASSERT_HAS(out, "KL max");
	ASSERT_HAS(out, "100.00%");
	ASSERT_HAS(out, "/flat");
}
END_TEST

START_TEST(what_does_not_fit)
{
	static const struct {
		const char *line, *says;
		int status;
	} rows[] = {
		{"$W eval --text $D/text --kl $D/flat --streaming", "--streaming", 2},
		{"$W eval --text $D/text $D/flat $D/flat --dump-logits $D/x", "--dump-logits", 2},
		{"$W eval --text $D/text -m $D/flat $D/flat --trace $D/x", "--trace", 2},
		{"$W eval --text $D/text --kl $D/none $D/flat", "/none", 1},
		{"$W eval --text $D/text --kl $D/flat $D/none", "/none", 1},
		{"$W eval --text $D/text --kl $D/flat $D/small", "257", 1},
		{"$W eval --text $D/text --kl $D/flat $D/cut", "from token 0 on", 1},
		{"$W eval --text $D/text --kl $D/flat $D/broken", "not finite", 1},
		{"$W eval --text $D/text $D/broken", "the logits after token 0 are not", 1},
	};
	float logits[257] = {0};

	model("flat", one_merge, logits, 257);
	model("small", no_merge, logits, 256);
	model("cut", other_merge, logits, 257);
	logits[100] = NAN;
	model("broken", one_merge, logits, 257);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ASSERT_STATUS(rows[i].line, rows[i].status);
		ASSERT_HAS(err, rows[i].says);
		ck_assert_str_eq(out, "");
	}
	ASSERT_STATUS("test ! -e $D/x", 0);
}
END_TEST

/* The story model with each float of its tensors cut to 24 - bits of its 24 bits: the file is as it was but for them. */
static void rounded(const char *from, const char *name, unsigned bits)
{
	static unsigned char file[2 << 20];
	char path[128];
	FILE *f = fopen(from, "rb");
	size_t size, tensors;
	struct weir_gguf *g;
	const unsigned char *first = NULL;

	ck_assert_ptr_nonnull(f);
	size = fread(file, 1, sizeof(file), f);
	fclose(f);
	ck_assert_int_eq(weir_gguf_open_memory(file, size, name, &g), 0);
	for (size_t i = 0; i < weir_gguf_tensor_count(g); i++) {
		const unsigned char *data = weir_gguf_tensor_at(g, i)->data;

		first = !first || data < first ? data : first;
	}
	tensors = (size_t)(first - file);
	weir_gguf_close(g);
	for (size_t at = tensors; at + 4 <= size; at += 4) {
		uint32_t x;

		memcpy(&x, file + at, 4);
		x &= ~((1u << bits) - 1);
		memcpy(file + at, &x, 4);
	}
	snprintf(path, sizeof(path), "%s/%s", work, name);
	f = fopen(path, "wb");
	ck_assert(f && fwrite(file, 1, size, f) == size && !fclose(f));
}

/* KL of two dumps of one window, all in double. */
static double dumps_divergence(const char *p_name, const char *q_name, size_t tokens, size_t n)
{
	float *p = malloc(2 * n * sizeof(*p)), *q = p + n;
	char path[128];
	FILE *f[2];
	double sum = 0;

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", work, i ? q_name : p_name);
		f[i] = fopen(path, "rb");
		ck_assert(p && f[i]);
	}
	for (size_t t = 0; t + 1 < tokens; t++) {
		double zp = 0, zq = 0, dot = 0;

		ck_assert_uint_eq(fread(p, sizeof(*p), n, f[0]), n);
		ck_assert_uint_eq(fread(q, sizeof(*q), n, f[1]), n);
		for (size_t i = 0; i < n; i++) {
			zp += exp((double)p[i]);
			zq += exp((double)q[i]);
			dot += exp((double)p[i]) * ((double)p[i] - (double)q[i]);
		}
		sum += dot / zp - log(zp) + log(zq);
	}
	fclose(f[0]);
	fclose(f[1]);
	free(p);
	return sum / (double)(tokens - 1);
}

START_TEST(rounding)
{
	const char *s = suite_data(STORIES, "rounding"),
		   *t = suite_data("text/tinystories-sample.txt", "rounding");
	struct json_object *object;
	double kl, coarse;

	if (!s || !t)
		return;
	setenv("S", s, 1);
	setenv("T", t, 1);
	rounded(s, "fine", 14);
	rounded(s, "coarse", 19);
	object = json_of("$W eval --text $T --ctx 200 --kl $S $S $D/fine $D/coarse --json --windows 1 -b 64");
	ck_assert_double_eq(number(row_of(object, 1), "kl"), 0);
	ck_assert_double_eq(number(row_of(object, 1), "kl_max"), 0);
	ck_assert_double_eq(number(row_of(object, 1), "same_top"), 1);
	kl = number(row_of(object, 2), "kl");
	coarse = number(row_of(object, 3), "kl");
	ck_assert_msg(kl > 0 && kl < 1e-3 && coarse > 10 * kl, "KL %g and %g", kl, coarse);
	ck_assert(number(row_of(object, 3), "kl_p99") < number(row_of(object, 3), "kl_max"));
	ck_assert(number(row_of(object, 3), "same_top") < 1);
	json_object_put(object);
	ASSERT_STATUS("$W eval --text $T --ctx 200 --windows 1 -b 64 --dump-logits $D/p -m $S", 0);
	ASSERT_STATUS("$W eval --text $T --ctx 200 --windows 1 -b 64 --dump-logits $D/q $D/fine", 0);
	ck_assert_double_eq_tol(kl, dumps_divergence("p", "q", 200, 512), 2e-8);
	ASSERT_STATUS("$W eval --text $T --ctx 200 --windows 1 -b 64 --dump-logits $D/q $D/coarse", 0);
	ck_assert_double_eq_tol(coarse, dumps_divergence("p", "q", 200, 512), 2e-7);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {by_hand, tables, what_does_not_fit, rounding};
	TCase *c = tcase_create("eval");

	cli_begin();
	if (system("printf '%s' 'ab, and more text of forty tokens: xyz..' >$D/text"))
		return 1;
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(c, tests[i]);
	return cli_end("eval", c);
}
