/* SPDX-License-Identifier: MIT */
/*
 * kernels: each kernel's share of its own limit, measured in turns with it: of the speed at which plain C reads the same
 * memory (decode, attention, row ops), or of the arithmetic units' peak (prefill). A line a kernel:
 *     kernel NAME FORMAT SHAPE UNIT value limit value share value
 * with dashes where no limit is known.
 */
#include <getopt.h>
#include <unistd.h>

#include "base/base.h"
#include "tests/checkcl/matmul.h"
#include "limits.h"

#define ROUNDS_MAX 99
#define SAMPLE_SECONDS 0.02
#define PREFILL 512
#define NEAR_BYTES ((size_t)24 << 20)

static const char usage[] =
	"usage: kernels [--device D] [--tier T] [--threads N] [--rounds N] [--near] [--shape ROWSxK] [FILTER]\n"
	"Times kernels beside the limits of memory and arithmetic, measured in turns with them.\n"
	"FILTER is part of the names of those to time, as in \"matmul-decode Q4_0\". Weights lie in memory,\n"
	"past all caches; with --near they are few and stay in the last cache, where that is large.\n"
	"--shape times matrices of that shape alone: one of many rows shows a kernel without its launches.\n";

struct bench {
	struct checkcl c;
	struct limits *limits;
	unsigned rounds;
	bool near;
	size_t rows, k; /* of matrices; 0: those of the table */
	const char *filter;
};

/* What is timed: a plan, and how its limit is measured. */
struct job {
	char name[96];
	const char *unit;
	struct weir_plan *plan;
	unsigned tokens;
	double work; /* bytes or operations of a run; launches, where their time is all that is asked */
	double (*limit)(struct bench *b, const struct job *job); /* NULL: none */
	const void *data; /* what limit_memory reads */
	size_t size;
};

static double limit_memory(struct bench *b, const struct job *job)
{
	return limits_read(b->limits, job->data, job->size, SAMPLE_SECONDS);
}

static double limit_int8(struct bench *b, const struct job *job)
{
	(void)job;
	return limits_int8(b->limits, weir_device_props(b->c.dev)->tier, SAMPLE_SECONDS);
}

static double limit_fma(struct bench *b, const struct job *job)
{
	(void)job;
	return limits_fma(b->limits, SAMPLE_SECONDS);
}

static void die(const char *what)
{
	fprintf(stderr, "kernels: %s: %s\n", what, weir_error());
	exit(1);
}

static bool wanted(const struct bench *b, const char *name)
{
	return !b->filter || strstr(name, b->filter);
}

static int compare_doubles(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static double median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), compare_doubles);
	return v[n / 2];
}

/* What a plan does a second. */
static double speed(struct bench *b, const struct job *job, unsigned runs)
{
	double start = weir_now();

	for (unsigned i = 0; i < runs; i++) {
		if (weir_plan_run(job->plan, job->tokens))
			die(job->name);
	}
	if (weir_device_wait(b->c.dev))
		die(job->name);
	return job->work * runs / (weir_now() - start);
}

/*
 * A share is the median of the rounds' own, each with the limit as it was just before and just after: what other
 * programs take, they take from both.
 */
static void measure(struct bench *b, const struct job *job)
{
	double got[ROUNDS_MAX], limit[ROUNDS_MAX], share[ROUNDS_MAX], before, after, did;
	unsigned runs;

	speed(b, job, 1); /* what is made at the first run */
	runs = (unsigned)(SAMPLE_SECONDS / (job->work / speed(b, job, 1))) + 1;
	before = job->limit ? job->limit(b, job) : 0;
	for (unsigned i = 0; i < b->rounds; i++, before = after) {
		got[i] = speed(b, job, runs);
		after = job->limit ? job->limit(b, job) : 0;
		limit[i] = (before + after) / 2;
		share[i] = got[i] / limit[i];
	}
	did = median(got, b->rounds);
	if (before > 0)
		printf("kernel %s %s %.1f limit %.1f share %.2f\n", job->name, job->unit, did * 1e-9,
			median(limit, b->rounds) * 1e-9, median(share, b->rounds));
	else
		printf("kernel %s %s %.2f limit - share -\n", job->name, job->unit,
			job->limit ? did * 1e-9 : 1e6 / did);
	fflush(stdout);
}

/* ---- graphs ----------------------------------------------------------------------------------- */

/* Enough copies that no cache holds them, or so few that one may. */
static size_t copies_of(const struct bench *b, size_t size)
{
	long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
	size_t far = (size_t)WEIR_MAX(cache, 64L << 20) / 2 * 3;

	return WEIR_MIN((b->near ? NEAR_BYTES : far) / size + 1, (size_t)1000);
}

/* A graph of launches, its step, and the memory that it mainly reads. */
struct bed {
	struct weir_graph *g;
	struct checkcl_step step;
};

static void bed_make(struct bench *b, struct bed *bed, unsigned width)
{
	if (weir_graph_create(b->c.dev, &bed->g))
		die("no graph");
	checkcl_step_make(&b->c, bed->g, width, 0, &bed->step);
}

/* Plans, fills, measures, and frees the bed; all of a buffer is what its limit reads. */
static void bed_run(struct bench *b, struct bed *bed, struct job *job, const struct weir_step *step,
	struct weir_buffer *read, size_t size)
{
	void *data;

	if (weir_graph_plan(bed->g, &job->plan))
		die(job->name);
	checkcl_put(bed->step.t.step, step, sizeof(*step));
	if (weir_buffer_begin(read, 0, size, WEIR_ACCESS_READ, &data))
		die(job->name);
	job->data = data;
	job->size = size;
	measure(b, job);
	if (weir_buffer_end(read, data))
		die(job->name);
	weir_graph_destroy(bed->g);
	checkcl_step_done(&bed->step);
}

static struct weir_tensor *kept_zero(struct weir_graph *g, const char *name, size_t size)
{
	struct weir_tensor *t = weir_graph_tensor(g, name, size);

	weir_tensor_keep(t);
	return t;
}

/* ---- matmul ----------------------------------------------------------------------------------- */

static const char *const kinds[] = {"Q4_0", "Q4_1", "Q5_0", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "F16", "W4g128", "W3g128", "W2g128",
	"W2g64", "W8A8"};

enum matmul_mode { MATMUL_DECODE, MATMUL_FINE, MATMUL_PREFILL };
static const char *const mode_name[] = {"decode", "fine", "prefill"};

static void time_matmul(struct bench *b, const struct weight_kind *kind, size_t rows, size_t k, enum matmul_mode mode)
{
	unsigned width = mode == MATMUL_PREFILL ? PREFILL : 1, columns = mode == MATMUL_FINE ? 2 : 1;
	struct weir_plane_format format = weight_format(kind, k);
	struct weir_step step = {.n_tokens = (int)width, .out_count = (int)width};
	struct weir_rows_out x = {.fine = mode == MATMUL_FINE};
	bool is_float = weir_plane_is_float(&format);
	struct weir_plane_layout l;
	struct weir_tensor *y;
	struct weights w;
	struct job job;
	struct bed bed;
	size_t copies;

	snprintf(job.name, sizeof(job.name), "matmul-%s%s %s %zux%zu%s", mode_name[mode], b->near ? "-near" : "",
		kind->name, rows, k, mode == MATMUL_PREFILL ? "x512" : "");
	if (!wanted(b, job.name))
		return;
	if (weir_plane_layout(&format, rows, k, weir_device_props(b->c.dev)->align, &l))
		die(job.name);
	copies = mode == MATMUL_PREFILL ? 1 : copies_of(b, l.size);
	if (!weights_make(&b->c, kind, rows, k, FILL_RANDOM, WEIR_MAX(copies, (size_t)2), &w))
		die(job.name);
	bed_make(b, &bed, width);
	x.packed = kept_zero(bed.g, "x", is_float ? width * k * 4 : weir_packed_size(width, k, x.fine));
	x.f32 = x.rows8 = x.packed;
	y = weir_graph_tensor(bed.g, "y", width * rows * sizeof(float));
	for (size_t i = 0; i < copies; i++) {
		struct weir_matrix m = w.m;

		m.offset = i * l.size;
		weir_op_matmul(bed.g, &bed.step.t, "matmul", &m, x, width, y, rows, 0, NULL, WEIR_MATMUL_OUT);
	}
	job.tokens = width;
	if (mode == MATMUL_PREFILL) {
		job.unit = "GOPS";
		job.work = 2.0 * (double)rows * (double)k * width * columns * (double)copies;
		job.limit = is_float ? limit_fma : limit_int8;
	} else {
		job.unit = "GBs";
		job.work = (double)(l.quants_size + l.scales_size + l.extra_size) * (double)copies;
		job.limit = limit_memory;
	}
	bed_run(b, &bed, &job, &step, w.m.buffer, l.size * copies);
	weights_free(&w);
}

static void time_matmuls(struct bench *b, enum matmul_mode mode)
{
	/* SmolLM2-135M's and TinyLlama's feed-forward, and a large one. */
	static const size_t shapes[][2] = {{1536, 576}, {576, 1536}, {2048, 5632}, {4096, 4096}};

	for (size_t i = 0; i < (b->rows ? 1 : WEIR_ARRAY_SIZE(shapes)); i++) {
		size_t rows = b->rows ? b->rows : shapes[i][0], k = b->rows ? b->k : shapes[i][1];

		for (size_t j = 0; j < WEIR_ARRAY_SIZE(kinds); j++) {
			const struct weight_kind *kind = weight_kind(kinds[j]);
			bool fine = !weir_plane_is_float(&kind->format) && !kind->format.row_act &&
				    kind->type != WEIR_TYPE_F16;

			if (k % weight_block(kind) == 0 && (mode != MATMUL_FINE || fine))
				time_matmul(b, kind, rows, k, mode);
		}
	}
}

/* ---- attention -------------------------------------------------------------------------------- */

static void time_attention(struct bench *b, unsigned heads, unsigned kv_heads, enum weir_kv kv, unsigned past)
{
	struct weir_attention_shape shape = {.heads = heads, .kv_heads = kv_heads, .head_dim = 64, .n_rot = 64,
		.slots = past, .kv = kv};
	struct weir_step step = {.n_tokens = 1, .n_segments = 1, .segment = {{.count = (int)past, .pos = 1 - (int)past}}};
	size_t k = (size_t)heads * shape.head_dim, copies;
	int seen = INT32_MIN;
	struct weir_rows_out out = {.packed = NULL};
	struct weir_kv_layout l;
	struct weir_buffer *cache;
	struct weir_tensor *q;
	struct job job;
	struct bed bed;
	void *data;

	snprintf(job.name, sizeof(job.name), "attention-decode%s %s %u/%ux64x%u", b->near ? "-near" : "",
		kv == WEIR_KV_Q8 ? "q8" : "f16", heads, kv_heads, past);
	if (!wanted(b, job.name))
		return;
	weir_kv_layout(&shape, weir_device_props(b->c.dev)->align, &l);
	copies = copies_of(b, l.size);
	if (weir_buffer_create(b->c.dev, l.size * copies, "cache", &cache) ||
		weir_buffer_begin(cache, 0, l.size * copies, WEIR_ACCESS_WRITE, &data))
		die(job.name);
	/* Small numbers as halves, as bytes and as floats alike. */
	memset(data, 0x11, l.size * copies);
	if (weir_buffer_end(cache, data))
		die(job.name);
	bed_make(b, &bed, 1);
	q = kept_zero(bed.g, "q", k * sizeof(float));
	out.packed = weir_graph_tensor(bed.g, "packed", weir_packed_size(1, k, false));
	for (size_t i = 0; i < copies; i++)
		weir_op_attention(bed.g, &bed.step.t, &shape, q,
			weir_graph_bind(bed.g, "kv", cache, i * l.size, l.size), out);
	weir_buffer_begin(weir_tensor_buffer(bed.step.t.seen), weir_tensor_offset(bed.step.t.seen), sizeof(seen),
		WEIR_ACCESS_WRITE, &data);
	memcpy(data, &seen, sizeof(seen));
	weir_buffer_end(weir_tensor_buffer(bed.step.t.seen), data);
	job.tokens = 1;
	job.unit = "GBs";
	job.work = 2.0 * kv_heads * past * (kv == WEIR_KV_Q8 ? 64 + 4 : 128) * (double)copies;
	job.limit = limit_memory;
	bed_run(b, &bed, &job, &step, cache, l.size * copies);
	weir_buffer_destroy(cache);
}

static void time_attentions(struct bench *b)
{
	static const enum weir_kv kvs[] = {WEIR_KV_F16, WEIR_KV_Q8};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(kvs); i++) {
		for (unsigned past = 512; past <= 4096; past *= 8) {
			time_attention(b, 9, 3, kvs[i], past);
			time_attention(b, 32, 4, kvs[i], past);
		}
	}
}

/* ---- row ops ---------------------------------------------------------------------------------- */

enum row_op { ROW_NORM, ROW_GATE, ROW_PACK };
static const char *const row_name[] = {"rmsnorm", "silu_gate", "pack"};
#define ROW_LAUNCHES 64 /* of the same rows, which so lie near */

static void time_row(struct bench *b, enum row_op op, unsigned width, size_t k, bool rows8)
{
	size_t columns = op == ROW_GATE ? 2 * k : k, x_size = width * columns * sizeof(float);
	struct weir_step step = {.n_tokens = (int)width, .out_count = (int)width};
	struct weir_rows_out out = {.packed = NULL};
	struct weir_tensor *x, *weight, *packed;
	struct weir_buffer *rows;
	struct job job;
	struct bed bed;
	float *v;

	snprintf(job.name, sizeof(job.name), "%s %s %zux%u", row_name[op], rows8 ? "rows8" : "packed", k, width);
	if (!wanted(b, job.name))
		return;
	if (weir_buffer_create(b->c.dev, x_size, "rows", &rows) ||
		weir_buffer_begin(rows, 0, x_size, WEIR_ACCESS_WRITE, (void **)&v))
		die(job.name);
	for (size_t i = 0; i < x_size / sizeof(*v); i++)
		v[i] = checkcl_uniform(&b->c, -3, 3);
	if (weir_buffer_end(rows, v))
		die(job.name);
	bed_make(b, &bed, width);
	x = weir_graph_bind(bed.g, "x", rows, 0, x_size);
	weight = kept_zero(bed.g, "weight", k * sizeof(float));
	packed = kept_zero(bed.g, "packed", weir_packed_size(width, k, false));
	*(rows8 ? &out.rows8 : &out.packed) = packed;
	for (int i = 0; i < ROW_LAUNCHES; i++) {
		if (op == ROW_NORM)
			weir_op_rmsnorm(bed.g, &bed.step.t, x, weight, k, 1e-5f, out);
		else if (op == ROW_GATE)
			weir_op_silu_gate(bed.g, &bed.step.t, x, k, out);
		else
			weir_op_pack(bed.g, &bed.step.t, x, k, out);
	}
	job.tokens = width;
	/* One row fits in the first cache: a launch's own time is what is left. */
	job.unit = width == 1 ? "us" : "GBs";
	job.work = width == 1 ? ROW_LAUNCHES : (double)x_size * ROW_LAUNCHES;
	job.limit = width == 1 ? NULL : limit_memory;
	bed_run(b, &bed, &job, &step, rows, x_size);
	weir_buffer_destroy(rows);
}

static void time_rows(struct bench *b)
{
	static const struct {
		enum row_op op;
		size_t k;
	} rows[] = {{ROW_NORM, 576}, {ROW_GATE, 1536}, {ROW_NORM, 2048}, {ROW_GATE, 5632}, {ROW_PACK, 2048}};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(rows); i++) {
		for (unsigned width = 1; width <= PREFILL; width += PREFILL - 1) {
			time_row(b, rows[i].op, width, rows[i].k, false);
			time_row(b, rows[i].op, width, rows[i].k, true);
		}
	}
}

/* ---- the program ------------------------------------------------------------------------------ */

static const struct option options[] = {
	{"device", required_argument, NULL, 'd'},
	{"tier", required_argument, NULL, 't'},
	{"threads", required_argument, NULL, 'n'},
	{"rounds", required_argument, NULL, 'r'},
	{"near", no_argument, NULL, 'e'},
	{"shape", required_argument, NULL, 's'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static bool parse_count(const char *option, unsigned max, unsigned *out)
{
	char *end;
	unsigned long n = strtoul(optarg, &end, 10);

	if (end == optarg || *end || *optarg == '-' || !n || n > max) {
		fprintf(stderr, "kernels: --%s takes a number from 1 to %u, not \"%s\"\n", option, max, optarg);
		return false;
	}
	*out = (unsigned)n;
	return true;
}

static bool parse_shape(struct bench *b)
{
	char end;

	if (sscanf(optarg, "%7zux%7zu%c", &b->rows, &b->k, &end) == 2 && b->rows && b->k)
		return true;
	fprintf(stderr, "kernels: --shape takes ROWSxK, not \"%s\"\n", optarg);
	return false;
}

/* 0; or the status to end with, plus one. */
static int parse(int argc, char **argv, struct bench *b, struct weir_device_settings *settings)
{
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		bool ok = true;

		switch (option) {
		case 'd':
			settings->device = optarg;
			break;
		case 't':
			settings->tier = optarg;
			break;
		case 'n':
			ok = parse_count("threads", 1024, &settings->threads);
			break;
		case 'r':
			ok = parse_count("rounds", ROUNDS_MAX, &b->rounds);
			break;
		case 'e':
			b->near = true;
			break;
		case 's':
			ok = parse_shape(b);
			break;
		case 'h':
			fputs(usage, stdout);
			return 1;
		default:
			ok = false;
		}
		if (!ok)
			return 3;
	}
	b->filter = argv[optind];
	return argc - optind > 1 ? 3 : 0;
}

int main(int argc, char **argv)
{
	struct bench b = {.c = {.seed = 1}, .rounds = 7};
	struct weir_device_settings settings;
	int status;

	weir_device_settings_default(&settings);
	status = parse(argc, argv, &b, &settings);
	if (status == 3)
		fputs(usage, stderr);
	if (status)
		return status - 1;
	if (weir_device_open(&b.c.dev, &settings))
		die("no device");
	if (weir_device_props(b.c.dev)->schedule != WEIR_SCHEDULE_CPU || !weir_device_props(b.c.dev)->host_unified) {
		fprintf(stderr, "kernels: %s is no CPU: its limits are not known here\n", weir_device_name(b.c.dev));
		return 1;
	}
	b.limits = limits_create(weir_device_threads(b.c.dev));
	printf("# %s, %s tier, %u threads; medians of %u\n", weir_device_name(b.c.dev), weir_device_tier(b.c.dev),
		weir_device_threads(b.c.dev), b.rounds);
	for (enum matmul_mode mode = MATMUL_DECODE; mode <= MATMUL_PREFILL; mode++)
		time_matmuls(&b, mode);
	time_attentions(&b);
	time_rows(&b);
	limits_destroy(b.limits);
	weir_device_close(b.c.dev);
	return 0;
}
