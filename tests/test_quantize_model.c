/* SPDX-License-Identifier: MIT */
/* Quantized models: searches on the device against float64, models end to end, and runs that were cut. */
#include <math.h>

#include "base/base.h"
#include "cli.h"
#include "llm/quantize_calib.h"
#include "llm/quantize_search.h"
#include "models.h"
#include "quant_golden.h"
#include "weir/quantize.h"

#define STORIES "llm/stories260K-f32.gguf"
#define TEXT "text/tinystories-sample.txt"

static const char *stories, *text_path; /* NULL: there is no test data; else $S and $T, too */

static void *allocate(size_t n, size_t size)
{
	void *p = calloc(n, size);

	ck_assert_ptr_nonnull(p);
	return p;
}

/* ---- losses against float64 ------------------------------------------------------------------- */

/* A layer of a random model, whose weights a test replaces. */
struct bench {
	char *path;
	weir_device *dev;
	struct weir_checkpoint *in;
	struct weir_params params;
	struct weir_quant_layer layer;
	struct weir_quant_net net;
	struct weir_quant_calib calib;
	struct weir_quant_stats stats;
};

/* RMSNorm by sqrt(mean(x^2) + 1e12) = 1e6 and weights of 1e6 leaves x: so a test says what the linears read. */
static void bench_open(struct bench *b, uint32_t dim, uint32_t ff, unsigned samples, unsigned length, bool gram)
{
	const struct model_shape shape = {
		.arch = "llama", .layers = 1, .dim = dim, .ff = ff, .heads = dim / 64, .kv_heads = dim / 64, .vocab = 32};

	memset(b, 0, sizeof(*b));
	b->path = model_write(&shape, 3);
	b->dev = model_device(NULL, NULL, 0, WEIR_PROVIDER_AUTO);
	ck_assert_msg(!weir_checkpoint_open(b->path, &b->in), "%s", weir_error());
	ck_assert_msg(!weir_params_read(b->in, &b->params), "%s", weir_error());
	b->params.eps = 1e12f;
	b->calib = (struct weir_quant_calib){.samples = samples, .length = length, .dim = dim};
	ck_assert_int_eq(weir_quant_layer_create(b->in, &b->params, &b->layer), 0);
	ck_assert_int_eq(weir_quant_layer_read(&b->layer, b->in, 0), 0);
	for (uint32_t i = 0; i < dim; i++)
		b->layer.norm[WEIR_QUANT_FFN_NORM][i] = 1e6f;
	memset(b->layer.linear[WEIR_QUANT_OUT].w, 0, (size_t)dim * dim * sizeof(float)); /* attention adds nothing */
	ck_assert_msg(!weir_quant_net_create(b->dev, &b->layer, length, &b->net), "%s", weir_error());
	ck_assert_msg(!weir_quant_stats_create(&b->net, &b->calib,
			      (bool[WEIR_QUANT_LINEARS]){[WEIR_QUANT_DOWN] = gram}, false, &b->stats),
		"%s", weir_error());
}

static void bench_close(struct bench *b)
{
	weir_quant_stats_destroy(&b->stats);
	weir_quant_net_destroy(&b->net);
	weir_quant_layer_free(&b->layer);
	weir_checkpoint_close(b->in);
	weir_device_close(b->dev);
	unlink(b->path);
	free(b->path);
}

/* What a bench's search found is what float64 finds. */
static void check_losses(const char *name, const double *loss)
{
	char record[64];
	const void *bytes;
	double want[WEIR_AWQ_RATIOS];
	uint32_t want_best;
	unsigned best;

	snprintf(record, sizeof(record), "%s-losses", name);
	bytes = quant_golden(record, WEIR_AWQ_RATIOS, sizeof(double));
	memcpy(want, bytes, sizeof(want));
	snprintf(record, sizeof(record), "%s-best", name);
	memcpy(&want_best, quant_golden(record, 1, sizeof(want_best)), sizeof(want_best));
	for (unsigned i = 0; i < WEIR_AWQ_RATIOS; i++)
		ck_assert_msg(fabs(loss[i] - want[i]) <= 1e-5 * want[i], "%s: the loss of ratio %u is %.9g, not %.9g", name,
			i, loss[i], want[i]);
	ck_assert_int_eq(weir_awq_best(loss, WEIR_AWQ_RATIOS, &best), 0);
	ck_assert_uint_eq(best, want_best);
}

static float *awq_scales(const float *x_mean, const float *w, const struct weir_quantizer *z, size_t rows, size_t k, bool duo)
{
	float *s = allocate(WEIR_AWQ_RATIOS * k, sizeof(*s)), *w_mean = allocate(k, sizeof(*w_mean));
	double *sum = allocate(k, sizeof(*sum));

	weir_awq_w_mean_add(z, w, rows, k, sum);
	weir_awq_w_mean(sum, rows, k, w_mean);
	for (unsigned i = 0; i < WEIR_AWQ_RATIOS; i++)
		weir_awq_scales(x_mean, duo ? w_mean : NULL, k, (double)i / WEIR_AWQ_RATIOS, s + i * k);
	free(w_mean);
	free(sum);
	return s;
}

static void copy_weights(float *to, uint32_t seed, size_t rows, size_t k)
{
	float *w = quant_weights(seed, rows, k);

	memcpy(to, w, rows * k * sizeof(*w));
	free(w);
}

/* mean |x| of each column, by double: with the device's, which is a few units in the last place off, codes near ties differ. */
static float *x_mean(const float *x, size_t n, size_t k)
{
	float *mean = allocate(k, sizeof(*mean));

	for (size_t c = 0; c < k; c++) {
		double sum = 0;

		for (size_t i = 0; i < n; i++)
			sum += fabsf(x[i * k + c]);
		mean[c] = (float)(sum / (double)n);
	}
	return mean;
}

static void check_mean(const float *got, const float *want, size_t k)
{
	for (size_t c = 0; c < k; c++)
		ck_assert_msg(fabsf(got[c] - want[c]) <= 1e-6f * want[c], "column %zu: %g, not %g", c, (double)got[c],
			(double)want[c]);
}

/* gate and up, inspected behind down: the candidates' integers and what follows them on the device. */
START_TEST(search_mlp)
{
	enum { DIM = 192, FF = 512, BLOCKS = 4, LENGTH = 256 };
	const struct weir_quantizer z = {.bits = _i ? 3 : 4, .group = 64};
	float *x = quant_tokens(150, BLOCKS * LENGTH, DIM), *mean = x_mean(x, BLOCKS * LENGTH, DIM), *scales;
	double loss[WEIR_QUANT_TRIES];
	struct weir_quant_search s;
	struct weir_quant_matrix *m;
	struct bench b;

	bench_open(&b, DIM, FF, BLOCKS, LENGTH, false);
	m = &b.layer.linear[WEIR_QUANT_GATE_UP];
	copy_weights(m->w, 50, FF, DIM);
	copy_weights(m->w + (size_t)FF * DIM, 51, FF, DIM);
	copy_weights(b.layer.linear[WEIR_QUANT_DOWN].w, 52, DIM, FF);
	ck_assert_int_eq(weir_quant_net_load(&b.net), 0);
	ck_assert_int_eq(weir_quant_stats_begin(&b.stats), 0);
	for (unsigned i = 0; i < BLOCKS; i++) {
		ck_assert_int_eq(weir_quant_net_run(&b.net, x + i * LENGTH * DIM, NULL), 0);
		ck_assert_int_eq(weir_quant_stats_add(&b.stats, i), 0);
	}
	ck_assert_int_eq(weir_quant_stats_end(&b.stats), 0);
	check_mean(b.stats.mean[WEIR_QUANT_GATE_UP], mean, DIM);
	scales = awq_scales(mean, m->w, &z, m->rows, m->k, _i);
	ck_assert_msg(!weir_quant_search_create(
			      &b.net, WEIR_QUANT_GATE_UP, &z, false, WEIR_AWQ_RATIOS, BLOCKS, true, &s),
		"%s", weir_error());
	ck_assert_int_eq(weir_quant_search_begin(&s, scales), 0);
	for (unsigned i = 0; i < BLOCKS; i++) {
		ck_assert_int_eq(weir_quant_net_run(&b.net, x + i * LENGTH * DIM, NULL), 0);
		ck_assert_int_eq(weir_quant_search_run(&s), 0);
		ck_assert_int_eq(weir_quant_search_add(&s), 0);
	}
	ck_assert_uint_eq(weir_quant_search_losses(&s, loss), WEIR_AWQ_RATIOS);
	check_losses(_i ? "mlp-long-duo" : "mlp-long", loss);
	weir_quant_search_destroy(&s);
	bench_close(&b);
	free(scales);
	free(mean);
	free(x);
}
END_TEST

/* down alone, by its input's Gram matrix. */
START_TEST(search_gram)
{
	enum { DIM = 576, FF = 1536, BLOCKS = 2, LENGTH = 300 };
	const struct weir_quantizer z = {.bits = 4, .group = 128};
	float *x = quant_tokens(140, BLOCKS * LENGTH, FF), *gram = allocate((size_t)FF * FF, sizeof(*gram)), *scales;
	float *mean = x_mean(x, BLOCKS * LENGTH, FF);
	double loss[WEIR_AWQ_RATIOS];
	struct weir_quant_gram g;
	struct bench b;

	bench_open(&b, DIM, FF, BLOCKS, LENGTH, true);
	copy_weights(b.layer.linear[WEIR_QUANT_DOWN].w, 40, DIM, FF);
	ck_assert_int_eq(weir_quant_net_load(&b.net), 0);
	ck_assert_int_eq(weir_quant_stats_begin(&b.stats), 0);
	for (unsigned i = 0; i < BLOCKS; i++) {
		ck_assert_int_eq(weir_quant_put(b.net.acts, b.net.act[WEIR_QUANT_ACT_GATED].offset,
					 x + (size_t)i * LENGTH * FF, LENGTH * FF), 0);
		ck_assert_int_eq(weir_quant_stats_add(&b.stats, i), 0);
	}
	ck_assert_int_eq(weir_quant_stats_end(&b.stats), 0);
	ck_assert_int_eq(weir_quant_stats_gram(&b.stats, WEIR_QUANT_DOWN, gram), 0);
	check_mean(b.stats.mean[WEIR_QUANT_DOWN], mean, FF);
	scales = awq_scales(mean, b.layer.linear[WEIR_QUANT_DOWN].w, &z, DIM, FF, false);
	ck_assert_msg(!weir_quant_gram_create(&b.net, WEIR_QUANT_DOWN, &z, &g), "%s", weir_error());
	ck_assert_int_eq(weir_quant_gram_load(&g, gram), 0);
	for (unsigned i = 0; i < WEIR_AWQ_RATIOS; i++)
		ck_assert_int_eq(weir_quant_gram_loss(&g, scales + i * FF, BLOCKS * LENGTH, &loss[i]), 0);
	check_losses("down", loss);
	weir_quant_gram_destroy(&g);
	bench_close(&b);
	free(scales);
	free(gram);
	free(mean);
	free(x);
}
END_TEST

/* ---- models ----------------------------------------------------------------------------------- */

/* Of the text, in windows of 256 tokens. */
static double perplexity(const char *model)
{
	char line[256];
	struct json_object *object;
	double value;

	snprintf(line, sizeof(line), "$W eval --json --text $T --ctx 256 --kv f32 -m %s", model);
	object = json_of(line);
	value = json_object_get_double(json_at(object, "perplexity"));
	json_object_put(object);
	return value;
}

/* Quantizes the story model with what options say, and measures it. */
static double quantized(const char *options)
{
	char line[512];

	snprintf(line, sizeof(line), "$W quantize --force %s $S $D/q.gguf", options);
	ASSERT_STATUS(line, 0);
	ASSERT_HAS(out, "q.gguf: ");
	return perplexity("$D/q.gguf");
}

#define CALIB "--calib $T --samples 24 --length 64 "

/* More bits are better, and so is AWQ. */
START_TEST(methods)
{
	double whole, rtn[4], awq[4], smooth;

	if (!stories)
		return;
	whole = perplexity("$S");
	rtn[0] = quantized("--method rtn --bits 8 --group channel");
	rtn[1] = quantized("--method rtn --bits 4 --group 32");
	rtn[2] = quantized("--method rtn --bits 3 --group 32");
	rtn[3] = quantized("--method rtn --bits 2 --group 32");
	awq[0] = quantized(CALIB "--bits 8 --group 64");
	awq[1] = quantized(CALIB "--bits 4 --group 32");
	awq[2] = quantized(CALIB "--bits 3 --group 32 --duo");
	awq[3] = quantized(CALIB "--bits 2 --group 32");
	printf("perplexity %.3f; rtn %.3f %.3f %.3f %.3f; awq %.3f %.3f %.3f %.3f\n", whole, rtn[0], rtn[1], rtn[2],
		rtn[3], awq[0], awq[1], awq[2], awq[3]);
	ck_assert(fabs(rtn[0] / whole - 1) < 0.01 && fabs(awq[0] / whole - 1) < 0.01);
	ck_assert(rtn[1] > whole && rtn[2] > rtn[1] && rtn[3] > rtn[2]);
	ck_assert(awq[1] > whole && awq[2] > awq[1] && awq[3] > awq[2]);
	for (int i = 1; i < 4; i++)
		ck_assert_msg(awq[i] < rtn[i], "%d: AWQ has %g, rounding %g", i, awq[i], rtn[i]);
	smooth = quantized("--method rtn --w8a8");
	ck_assert(fabs(smooth / whole - 1) < 0.02);
	smooth = quantized("--method smoothquant " CALIB);
	ck_assert(fabs(smooth / whole - 1) < 0.02);
	smooth = quantized("--method smoothquant --alpha auto " CALIB);
	ck_assert(fabs(smooth / whole - 1) < 0.02);
}
END_TEST

/*
 * Biases, v -> o scaling, norms of heads: with 8 bits a model says nearly what it said before, whatever was scaled. A scale that
 * is put in at one end alone would change everything.
 */
static const struct model_shape shapes[] = {
	{.arch = "llama", .layers = 2, .dim = 64, .ff = 96, .heads = 4, .kv_heads = 4, .vocab = 96},
	{.arch = "qwen2", .layers = 2, .dim = 64, .ff = 96, .heads = 4, .kv_heads = 4, .vocab = 96, .bias = true},
	{.arch = "qwen3", .layers = 2, .dim = 64, .ff = 96, .heads = 4, .kv_heads = 2, .vocab = 96, .untied = true},
};

static void logits_of(weir_device *dev, const char *path, const int32_t *tokens, size_t n, float *logits)
{
	weir_model *m = model_open(dev, path);
	weir_session *s = model_session(m, WEIR_KV_F32, 128, 0, 0, 0);

	ck_assert_msg(!weir_session_feed(s, tokens, n, NULL, NULL), "%s", weir_error());
	ck_assert_int_eq(weir_session_logits(s, logits), 0);
	weir_session_destroy(s);
	weir_model_close(m);
}

START_TEST(architectures)
{
	enum { N = 512 };
	const struct model_shape *shape = &shapes[_i / 2];
	char *path = model_write(shape, 7), to[128];
	weir_device *dev = model_device(NULL, NULL, 0, WEIR_PROVIDER_AUTO);
	struct weir_quantize_settings set;
	struct weir_quantize_report report;
	int32_t tokens[N];
	float before[96], after[96];

	snprintf(to, sizeof(to), "%s/arch.gguf", work);
	model_tokens(tokens, N, 96, 5);
	weir_quantize_settings_default(&set);
	set.method = _i % 2 ? WEIR_QUANTIZE_SMOOTHQUANT : WEIR_QUANTIZE_AWQ;
	set.bits = 8;
	set.group = _i % 2 ? 0 : 32;
	set.alpha_down = 0.5;
	set.tokens = tokens;
	set.n_tokens = N;
	set.length = 64;
	set.overwrite = true;
	ck_assert_msg(!weir_quantize(dev, path, to, &set, &report), "%s", weir_error());
	ck_assert_uint_eq(report.samples, 8);
	logits_of(dev, path, tokens, 100, before);
	logits_of(dev, to, tokens, 100, after);
	ck_assert_msg(model_distance(after, before, 96) < 0.1, "%s: %g apart", shape->arch,
		model_distance(after, before, 96));
	weir_device_close(dev);
	unlink(path);
	free(path);
}
END_TEST

/* ---- runs that are cut ------------------------------------------------------------------------- */

struct cut {
	unsigned layers, resumed;
};

static int on_layer(void *user, const struct weir_quantize_layer *l)
{
	struct cut *c = user;

	c->resumed += l->resumed;
	return l->index + 1 == c->layers;
}

/* One that was cancelled goes on where it was, and ends with the same bytes. */
START_TEST(cancelled)
{
	const char *const method[] = {"awq", "smoothquant"};
	weir_device *dev;
	struct weir_quantize_settings set;
	struct weir_quantize_report report;
	struct cut cut = {.layers = 3};
	char path[128], *text;

	if (!stories)
		return;
	dev = model_device(NULL, NULL, 0, WEIR_PROVIDER_AUTO);
	weir_quantize_settings_default(&set);
	ck_assert_int_eq(weir_file_read(text_path, 1 << 20, &text, &set.len), 0);
	set.text = text;
	set.method = _i ? WEIR_QUANTIZE_SMOOTHQUANT : WEIR_QUANTIZE_AWQ;
	set.bits = _i ? 8 : 4;
	set.group = _i ? 0 : 32;
	set.alpha = WEIR_QUANTIZE_ALPHA_AUTO;
	set.samples = 8;
	set.length = 64;
	set.layer = on_layer;
	set.user = &cut;
	ck_assert_str_eq(weir_quantize_method_name(set.method), method[_i]);
	snprintf(path, sizeof(path), "%s/cut%d.gguf", work, _i);
	ck_assert_int_eq(weir_quantize(dev, stories, path, &set, &report), -ECANCELED);
	ck_assert_int_ne(access(path, F_OK), 0);
	cut = (struct cut){.layers = 5};
	ck_assert_int_eq(weir_quantize(dev, stories, path, &set, &report), -ECANCELED);
	ck_assert_uint_eq(cut.resumed, 3);
	/* Other settings are another run. */
	set.length = 48;
	cut = (struct cut){.layers = 2};
	ck_assert_int_eq(weir_quantize(dev, stories, path, &set, &report), -ECANCELED);
	ck_assert(report.restarted && !cut.resumed);
	set.length = 64;
	cut = (struct cut){.layers = 4};
	ck_assert_int_eq(weir_quantize(dev, stories, path, &set, &report), -ECANCELED);
	cut = (struct cut){0};
	ck_assert_msg(!weir_quantize(dev, stories, path, &set, &report), "%s", weir_error());
	ck_assert_uint_eq(report.resumed_layers, 4);
	ck_assert_int_eq(weir_quantize(dev, stories, path, &set, &report), -EEXIST);
	snprintf(path, sizeof(path), "%s/whole%d.gguf", work, _i);
	ck_assert_msg(!weir_quantize(dev, stories, path, &set, &report), "%s", weir_error());
	ck_assert(!report.restarted && !report.resumed_layers);
	ASSERT_STATUS(_i ? "cmp $D/cut1.gguf $D/whole1.gguf" : "cmp $D/cut0.gguf $D/whole0.gguf", 0);
	free(text);
	weir_device_close(dev);
}
END_TEST

/* Killed at any moment. tests/kill_quantize.sh does it oftener. */
START_TEST(killed)
{
	if (!stories)
		return;
	ASSERT_STATUS("sh tests/kill_quantize.sh $W $S $T $D 5", 0);
	ASSERT_HAS(out, "the same bytes");
}
END_TEST

/* ---- the command line -------------------------------------------------------------------------- */

START_TEST(usage_errors)
{
	static const struct usage_row rows[] = {
		{"$W quantize", "input and an output"},
		{"$W quantize a", "input and an output"},
		{"$W quantize --method rtn a b c", "\"c\""},
		{"$W quantize a b", "--calib"},
		{"$W quantize --method smoothquant a b", "--calib"},
		{"$W quantize --method gptq a b", "rtn|awq|smoothquant"},
		{"$W quantize --method rtn --bits 5 a b", "8|4|3|2"},
		{"$W quantize --method rtn --group 100 a b", "32|64|128|channel"},
		{"$W quantize --method rtn --calib c a b", "awq and smoothquant"},
		{"$W quantize --method rtn --samples 3 a b", "awq and smoothquant"},
		{"$W quantize --method rtn --duo a b", "--duo"},
		{"$W quantize --method rtn --alpha 0.5 a b", "--alpha"},
		{"$W quantize --calib c --alpha-down 0.5 a b", "--alpha-down"},
		{"$W quantize --calib c --w8a8 a b", "--w8a8"},
		{"$W quantize --method rtn --w8a8 --bits 4 a b", "--bits 8"},
		{"$W quantize --method smoothquant --group 32 --calib c a b", "--group channel"},
		{"$W quantize --method smoothquant --alpha 2 --calib c a b", "\"2\""},
		{"$W quantize --method smoothquant --alpha most --calib c a b", "\"most\""},
		{"$W quantize --calib c --length 15 a b", "out of range"},
		{"$W quantize --calib c --samples 0 a b", "out of range"},
	};

	assert_usage(rows, sizeof(rows) / sizeof(rows[0]));
}
END_TEST

START_TEST(failures)
{
	static const struct {
		const char *line, *says;
	} rows[] = {
		{"$W quantize --method rtn $D/absent $D/x.gguf", "absent"},
		{"$W quantize --calib $D/absent $S $D/x.gguf", "absent"},
		{"$W quantize --calib $D/few $S $D/x.gguf", "it needs 16"},
		{"$W quantize --calib $T --length 4096 $S $D/x.gguf", "trained"},
		{"$W quantize --method rtn $S $D/there.gguf", "--force"},
		{"$W quantize --method rtn $S $D/no/folder/x.gguf", "no/folder"},
	};

	if (!stories)
		return;
	ASSERT_STATUS("echo a b c >$D/few; : >$D/there.gguf", 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ASSERT_STATUS(rows[i].line, 1);
		ASSERT_HAS(err, rows[i].says);
		ck_assert_str_eq(out, "");
	}
	ASSERT_STATUS("test ! -e $D/x.gguf", 0);
}
END_TEST

START_TEST(report)
{
	struct json_object *object, *layers, *choice;

	if (!stories)
		return;
	object = json_of("$W quantize --json --calib $T --samples 500 --length 64 --group 32 --force $S $D/r.gguf");
	ASSERT_HAS(err, "text is short");
	layers = json_at(object, "layers");
	ck_assert_uint_eq(json_object_array_length(layers), 5);
	for (size_t i = 0; i < 5; i++) {
		choice = json_at(json_object_array_get_idx(layers, i), "ffn_in");
		ck_assert(json_object_get_double(json_at(choice, "loss")) > 0);
		ck_assert(json_object_get_double(json_at(choice, "loss")) <=
			json_object_get_double(json_at(choice, "first_loss")));
		ck_assert_int_ge(json_object_get_int(json_at(choice, "finished")), 1);
	}
	ck_assert_int_eq(json_object_get_int(json_at(object, "bits")), 4);
	ck_assert_int_gt(json_object_get_int(json_at(json_at(object, "calibration"), "samples")), 16);
	json_object_put(object);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("quantize model");
	const char *problem = quant_golden_open(QUANT_GOLDEN);
	int status;

	if (problem) {
		printf("%s\n", problem);
		return 1;
	}
	stories = suite_data(STORIES, "models of stories");
	text_path = suite_data(TEXT, "models of stories");
	if (!text_path)
		stories = NULL;
	if (stories) {
		setenv("S", stories, 1);
		setenv("T", text_path, 1);
	}
	cli_begin();
	tcase_add_test(c, usage_errors);
	tcase_add_loop_test(c, search_mlp, 0, 2);
	tcase_add_test(c, search_gram);
	tcase_add_test(c, methods);
	tcase_add_loop_test(c, architectures, 0, 2 * (int)WEIR_ARRAY_SIZE(shapes));
	tcase_add_loop_test(c, cancelled, 0, 2);
	tcase_add_test(c, killed);
	tcase_add_test(c, failures);
	tcase_add_test(c, report);
	status = cli_end("quantize model", c);
	quant_golden_close();
	return status;
}
