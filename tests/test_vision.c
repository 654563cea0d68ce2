/* SPDX-License-Identifier: MIT */
/* The calls of weir/vision.h: what they give, what they refuse, buffers of the caller's, both modes, and the memory map. */
#include "base/base.h"
#include "suite.h"
#include "tflite_writer.h"
#include "vision/network.h"

#define SIDE 8
#define CHANNELS 16
#define BYTES (SIDE * SIDE * CHANNELS)
#define SUMS 5 /* of x[0] .. x[4] */

static int activation(struct tflite_writer *w, const char *name, int type)
{
	return tflite_writer_tensor(w, &(struct tflite_tensor){.name = name,
					       .type = type,
					       .n_dims = 4,
					       .dim = {1, SIDE, SIDE, CHANNELS},
					       .n_scales = type == WEIR_TFLITE_I8,
					       .n_zeros = type == WEIR_TFLITE_I8,
					       .scale = (const float[]){0.5f},
					       .zero = (const int64_t[]){-3}});
}

static void add_op(struct tflite_writer *w, int code, int a, int b, int out)
{
	const int32_t in[2] = {a, b}, to = out;

	tflite_writer_op(w, &(struct weir_tflite_op){.code = code,
				    .version = 1,
				    .n_inputs = b < 0 ? 1 : 2,
				    .inputs = in,
				    .n_outputs = 1,
				    .outputs = &to});
}

/* y = RELU(x[0] + .. + x[4]): four sums, then the RELU. */
static struct tflite_writer *sums(void)
{
	struct tflite_writer *w = tflite_writer_new();
	int32_t in[SUMS], sum, out;
	char name[8];

	for (int i = 0; i < SUMS; i++) {
		snprintf(name, sizeof(name), "x%d", i);
		in[i] = activation(w, name, WEIR_TFLITE_I8);
	}
	sum = in[0];
	for (int i = 1; i < SUMS; i++) {
		out = activation(w, "sum", WEIR_TFLITE_I8);
		add_op(w, WEIR_TFLITE_ADD, sum, in[i], out);
		sum = out;
	}
	out = activation(w, "y", WEIR_TFLITE_I8);
	add_op(w, WEIR_TFLITE_RELU, sum, -1, out);
	tflite_writer_ends(w, SUMS, in, 1, &out);
	return w;
}

/* Floats in, QUANTIZE, RELU6, DEQUANTIZE, floats out. */
static struct tflite_writer *floats(void)
{
	struct tflite_writer *w = tflite_writer_new();
	int32_t in = activation(w, "x", WEIR_TFLITE_F32), q = activation(w, "q", WEIR_TFLITE_I8);
	int32_t r = activation(w, "r", WEIR_TFLITE_I8), out = activation(w, "y", WEIR_TFLITE_F32);

	add_op(w, WEIR_TFLITE_QUANTIZE, in, -1, q);
	add_op(w, WEIR_TFLITE_RELU6, q, -1, r);
	add_op(w, WEIR_TFLITE_DEQUANTIZE, r, -1, out);
	tflite_writer_ends(w, 1, &in, 1, &out);
	return w;
}

static struct weir_tflite *parse(struct tflite_writer *w)
{
	struct weir_tflite *f;
	unsigned char *data;
	size_t size;

	data = tflite_writer_finish(w, &size);
	ck_assert_msg(!weir_tflite_parse(data, size, "made", &f), "%s", weir_error());
	return f;
}

static weir_device *device(const char *schedule)
{
	struct weir_device_settings set;
	weir_device *dev;

	weir_device_settings_default(&set);
	set.device = getenv("WEIR_TEST_DEVICE");
	set.schedule = schedule;
	ck_assert_msg(!weir_device_open(&dev, &set), "%s", weir_error());
	return dev;
}

/* What a test begins with, and all of it freed again. */
static struct bench {
	struct tflite_writer *writer;
	struct weir_tflite *file;
	weir_device *dev;
	weir_net *net;
	int8_t x[SUMS][BYTES], y[BYTES];
} b;

static void begin_with(struct tflite_writer *w, const struct weir_net_settings *settings)
{
	b.writer = w;
	b.file = parse(w);
	b.dev = device(NULL);
	ck_assert_msg(!weir_net_create(b.dev, b.file, settings, &b.net), "%s", weir_error());
	for (int i = 0; i < SUMS * BYTES; i++)
		b.x[i / BYTES][i % BYTES] = (int8_t)(i * 37 % 23 - 11);
}

static void begin(void)
{
	begin_with(sums(), NULL);
}

static void end(void)
{
	weir_net_destroy(b.net);
	weir_device_close(b.dev);
	weir_tflite_close(b.file);
	tflite_writer_free(b.writer);
}

static void refused(int got, int want, const char *words)
{
	ck_assert_int_eq(got, want);
	ck_assert_msg(strstr(weir_error(), words), "\"%s\" lacks \"%s\"", weir_error(), words);
}

/* In real numbers all is on a grid of halves: sums are exact but for the limits of int8. */
static int8_t want(int i)
{
	int sum = 0;

	for (int k = 0; k < SUMS; k++) {
		sum += b.x[k][i] + 3;
		sum = WEIR_MIN(WEIR_MAX(sum, -125), 130);
	}
	return (int8_t)(WEIR_MAX(sum, 0) - 3);
}

static void write_all(int first)
{
	for (unsigned i = (unsigned)first; i < SUMS; i++)
		ck_assert_msg(!weir_net_input_write(b.net, i, b.x[i], BYTES), "%s", weir_error());
}

static void run_right(void)
{
	ck_assert_msg(!weir_net_run(b.net), "%s", weir_error());
	ck_assert_msg(!weir_net_output_read(b.net, 0, b.y, BYTES), "%s", weir_error());
	for (int i = 0; i < BYTES; i++)
		ck_assert_int_eq(b.y[i], want(i));
}

/* ---- the calls ----------------------------------------------------------------------------------- */

START_TEST(describes)
{
	struct weir_net_tensor t;
	struct weir_net_info info;

	begin();
	ck_assert_uint_eq(weir_net_inputs(b.net), SUMS);
	ck_assert_uint_eq(weir_net_outputs(b.net), 1);
	ck_assert_int_eq(weir_net_input(b.net, 2, &t), 0);
	ck_assert_str_eq(t.name, "x2");
	ck_assert_str_eq(t.type, "int8");
	ck_assert_uint_eq(t.n_dims, 4);
	ck_assert_int_eq(t.dim[3], CHANNELS);
	ck_assert_uint_eq(t.bytes, BYTES);
	ck_assert(t.scale == 0.5f && t.zero == -3 && !t.folded);
	ck_assert_int_eq(weir_net_output(b.net, 0, &t), 0);
	ck_assert_str_eq(t.name, "y");
	refused(weir_net_input(b.net, SUMS, &t), -ERANGE, "has 5 inputs, no number 5");
	refused(weir_net_output(b.net, 1, &t), -ERANGE, "has 1 output, no number 1");
	weir_net_info(b.net, &info);
	ck_assert_uint_eq(info.operators, SUMS);
	/* Five inputs, and every sum in the place of one. */
	ck_assert_uint_eq(info.activation_bytes, SUMS * BYTES);
	ck_assert_uint_gt(info.unshared_bytes, info.activation_bytes);
	end();
}
END_TEST

START_TEST(misuse)
{
	struct weir_net_settings set;
	weir_net *net;
	void *p, *q;

	begin();
	refused(weir_net_input_end(b.net, 0), -EINVAL, "input 0 is not open");
	ck_assert_int_eq(weir_net_input_begin(b.net, 0, &p), 0);
	refused(weir_net_input_begin(b.net, 0, &q), -EBUSY, "input 0 is open already");
	refused(weir_net_run(b.net), -EBUSY, "input 0 is open");
	refused(weir_net_input_bind(b.net, 0, NULL, 0), -EBUSY, "input 0 is open");
	memcpy(p, b.x[0], BYTES);
	ck_assert_int_eq(weir_net_input_end(b.net, 0), 0);
	refused(weir_net_input_write(b.net, 1, b.x[1], BYTES - 1), -EINVAL, "takes 1024 bytes, not 1023");
	refused(weir_net_input_write(b.net, 9, b.x[1], BYTES), -ERANGE, "no number 9");
	refused(weir_net_output_read(b.net, 0, b.y, BYTES + 1), -EINVAL, "has 1024 bytes, not 1025");
	write_all(1);
	run_right();

	weir_net_settings_default(&set);
	set.size--;
	refused(weir_net_create(b.dev, b.file, &set, &net), -EINVAL, "weir_net_settings_default");
	ck_assert_ptr_null(net);
	weir_net_settings_default(&set);
	set.mode = (enum weir_net_mode)7;
	refused(weir_net_create(b.dev, b.file, &set, &net), -EINVAL, "no mode 7");
	weir_net_settings_default(&set);
	set.memory_budget = SUMS * BYTES - 1;
	refused(weir_net_create(b.dev, b.file, &set, &net), -ENOSPC, "needs at least");
	refused(weir_net_check(b.file, &set), -ENOSPC, "needs at least");
	end();
}
END_TEST

/* One launch, or one a step, with nothing shared or all: the same. Auto mode changes between them. */
START_TEST(modes)
{
	struct weir_net_settings set;
	struct weir_net_info info;
	unsigned whole = 0;

	for (int mode = WEIR_NET_AUTO; mode <= WEIR_NET_WHOLE; mode++) {
		weir_net_settings_default(&set);
		set.mode = (enum weir_net_mode)mode;
		set.in_place = set.overlay = _i;
		begin_with(sums(), &set);
		for (int run = 0; run < (mode == WEIR_NET_AUTO ? 140 : 2); run++) {
			b.x[0][run] ^= 1;
			write_all(0);
			run_right();
			weir_net_info(b.net, &info);
			ck_assert(mode == WEIR_NET_AUTO || info.whole == (mode == WEIR_NET_WHOLE));
			whole += mode == WEIR_NET_AUTO && info.whole;
		}
		end();
	}
	ck_assert_uint_gt(whole, 0);
	ck_assert_uint_lt(whole, 140);
}
END_TEST

START_TEST(no_one_launch_on_a_gpu)
{
	struct weir_net_settings set;

	weir_net_settings_default(&set);
	set.mode = WEIR_NET_WHOLE;
	b.writer = sums();
	b.file = parse(b.writer);
	b.dev = device("gpu");
	ck_assert_int_eq(weir_net_create(b.dev, b.file, &set, &b.net), 0);
	refused(weir_net_run(b.net), -EOPNOTSUPP, "in no order that one launch could rely on");
	end();
}
END_TEST

/* ---- buffers of the caller's --------------------------------------------------------------------- */

static void put(weir_buffer *buf, size_t offset, const void *data)
{
	void *p;

	ck_assert_int_eq(weir_buffer_begin(buf, offset, BYTES, WEIR_ACCESS_WRITE, &p), 0);
	memcpy(p, data, BYTES);
	ck_assert_int_eq(weir_buffer_end(buf, p), 0);
}

static void get(weir_buffer *buf, size_t offset, void *data)
{
	void *p;

	ck_assert_int_eq(weir_buffer_begin(buf, offset, BYTES, WEIR_ACCESS_READ, &p), 0);
	memcpy(data, p, BYTES);
	ck_assert_int_eq(weir_buffer_end(buf, p), 0);
}

START_TEST(bound)
{
	weir_buffer *buf;
	int8_t got[BYTES];

	begin();
	ck_assert_int_eq(weir_buffer_create(b.dev, 8 * BYTES, "ends", &buf), 0);
	refused(weir_net_input_bind(b.net, 0, buf, 8), -EINVAL, "a multiple of 16");
	refused(weir_net_input_bind(b.net, 0, buf, weir_buffer_size(buf) - BYTES + 16), -EINVAL, "not in the buffer");
	refused(weir_net_input_bind(b.net, 0, buf, SIZE_MAX - 15), -EINVAL, "not in the buffer");
	refused(weir_net_input_bind(b.net, SUMS, buf, 0), -ERANGE, "no number");
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(weir_net_input_bind(b.net, i, buf, i * BYTES), 0);
		put(buf, i * BYTES, b.x[i]);
	}
	ck_assert_int_eq(weir_net_output_bind(b.net, 0, buf, 5 * BYTES), 0);
	refused(weir_net_input_bind(b.net, 3, buf, 3 * BYTES), -ENOSPC, "4 inputs and outputs are bound already");
	write_all(3);
	run_right();
	/* What a run leaves: inputs as they were, the output where it was asked for. */
	for (unsigned i = 0; i < 3; i++) {
		get(buf, i * BYTES, got);
		ck_assert_mem_eq(got, b.x[i], BYTES);
	}
	get(buf, 5 * BYTES, got);
	ck_assert_mem_eq(got, b.y, BYTES);
	/* A bound input need not be written again, and can be moved, and taken back. */
	write_all(3);
	run_right();
	ck_assert_int_eq(weir_net_input_bind(b.net, 1, buf, 6 * BYTES), 0);
	put(buf, 6 * BYTES, b.x[2]);
	memcpy(b.x[1], b.x[2], BYTES);
	write_all(3);
	run_right();
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(weir_net_input_bind(b.net, i, NULL, 0), 0);
	ck_assert_int_eq(weir_net_output_bind(b.net, 0, NULL, 0), 0);
	write_all(0);
	run_right();
	weir_net_destroy(b.net);
	b.net = NULL;
	weir_buffer_destroy(buf);
	end();
}
END_TEST

/* ---- floats at the ends -------------------------------------------------------------------------- */

START_TEST(folded)
{
	float x[BYTES], y[2][BYTES];
	struct weir_net_tensor t;
	struct weir_net_settings set;

	for (int i = 0; i < BYTES; i++)
		x[i] = (float)(i % 101 - 50) * 0.3f;
	x[0] = 1e30f;
	x[1] = -1e30f;
	for (int fold = 0; fold < 2; fold++) {
		weir_net_settings_default(&set);
		set.fold = fold;
		begin_with(floats(), &set);
		ck_assert_int_eq(weir_net_input(b.net, 0, &t), 0);
		ck_assert_int_eq(t.folded, fold);
		ck_assert_str_eq(t.type, fold ? "int8" : "float32");
		ck_assert_msg(!weir_net_input_write(b.net, 0, x, sizeof(x)), "%s", weir_error());
		ck_assert_msg(!weir_net_run(b.net), "%s", weir_error());
		ck_assert_int_eq(weir_net_output_read(b.net, 0, y[fold], sizeof(y[fold])), 0);
		end();
	}
	ck_assert_mem_eq(y[0], y[1], sizeof(y[0]));
	ck_assert(y[0][60] == 3.0f && y[0][40] == 0.0f && y[0][100] == 6.0f);
}
END_TEST

/* ---- what is refused, and the map ---------------------------------------------------------------- */

START_TEST(unsupported)
{
	static const struct {
		int code, type;
		const char *words;
	} cases[] = {
		{28, WEIR_TFLITE_I8, "operator 1 (TANH): tensor 1 (a)"},
		{WEIR_TFLITE_RELU, WEIR_TFLITE_U8, "operator 1 (RELU): tensor 1 (a), UINT8 [1, 8, 8, 16]: only INT8"},
	};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(cases); i++) {
		struct tflite_writer *w = tflite_writer_new();
		int32_t in = activation(w, "x", WEIR_TFLITE_I8), a = activation(w, "a", cases[i].type);
		int32_t out = activation(w, "y", WEIR_TFLITE_I8);
		struct weir_tflite *f;

		add_op(w, WEIR_TFLITE_QUANTIZE, in, -1, a);
		if (cases[i].type == WEIR_TFLITE_I8)
			add_op(w, cases[i].code, a, -1, out);
		else
			add_op(w, WEIR_TFLITE_RELU, a, -1, out);
		tflite_writer_ends(w, 1, &in, 1, &out);
		f = parse(w);
		if (cases[i].type == WEIR_TFLITE_I8)
			refused(weir_net_check(f, NULL), -EOPNOTSUPP, cases[i].words);
		else
			refused(weir_net_check(f, NULL), -EOPNOTSUPP, "UINT8");
		weir_tflite_close(f);
		tflite_writer_free(w);
	}
}
END_TEST

/* Blocks lie in the arena, and those that live at one time do not overlap but for what stands in another's place. */
START_TEST(blocks)
{
	struct weir_net_info info;
	struct weir_net_block block;
	unsigned n = 0, inputs = 0;

	begin();
	weir_net_info(b.net, &info);
	while (!weir_net_block(b.net, n, &block)) {
		ck_assert_uint_le(block.at + block.bytes, info.activation_bytes);
		ck_assert_uint_eq(block.bytes, BYTES);
		ck_assert_uint_le(block.first, block.last);
		ck_assert_uint_lt(block.last, info.steps);
		inputs += !strcmp(block.op, "input");
		n++;
	}
	refused(weir_net_block(b.net, n, &block), -ERANGE, "fewer tensors");
	ck_assert_uint_eq(inputs, SUMS);
	ck_assert_uint_eq(n, 2 * SUMS);
	end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vision");
	TCase *c = tcase_create("network");

	tcase_set_timeout(c, 0);
	tcase_add_test(c, describes);
	tcase_add_test(c, misuse);
	tcase_add_loop_test(c, modes, 0, 2);
	tcase_add_test(c, no_one_launch_on_a_gpu);
	tcase_add_test(c, bound);
	tcase_add_test(c, folded);
	tcase_add_test(c, unsupported);
	tcase_add_test(c, blocks);
	suite_add_tcase(s, c);
	return suite_run(s);
}
