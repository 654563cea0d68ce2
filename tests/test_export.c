/* SPDX-License-Identifier: MIT */
/* What weir_export writes is what its readers read: codes, floats, what is kept, in files and in folders. */
#include <json-c/json.h>
#include <math.h>

#include "base/base.h"
#include "exports.h"
#include "format/gguf_write.h"
#include "gguf_writer.h"
#include "llm/export_parts.h"
#include "suite.h"

static const struct model_shape llama = {.arch = "llama", .type = WEIR_TYPE_F16, .layers = 2, .dim = 64, .ff = 160,
	.heads = 4, .kv_heads = 2, .vocab = 40, .bias = true};
static const struct model_shape llama_plain = {.arch = "llama", .type = WEIR_TYPE_BF16, .layers = 2, .dim = 64,
	.ff = 160, .heads = 4, .kv_heads = 2, .vocab = 40, .untied = true};
static const struct model_shape qwen2 = {.arch = "qwen2", .type = WEIR_TYPE_F32, .layers = 1, .dim = 64, .ff = 96,
	.heads = 4, .kv_heads = 2, .vocab = 40, .bias = true};
static const struct model_shape qwen3 = {.arch = "qwen3", .type = WEIR_TYPE_F32, .layers = 1, .dim = 64, .ff = 96,
	.heads = 4, .kv_heads = 2, .vocab = 40, .head_dim = 32};

static struct weir_checkpoint *reopen(const char *path)
{
	struct weir_checkpoint *c;

	ck_assert_msg(!weir_checkpoint_open(path, &c), "%s", weir_error());
	return c;
}

static float *floats_of(const struct weir_checkpoint *c, const struct weir_checkpoint_tensor *t)
{
	float *values = malloc(t->weights * sizeof(*values));

	ck_assert(values);
	ck_assert_msg(!weir_checkpoint_floats(c, t, 0, t->weights / t->dim[0], values), "%s", weir_error());
	return values;
}

/* The input's row that is row r of the output: RoPE's pairs are neighbours there, and may come to be halves apart. */
static size_t row_of(const struct export_case *c, const char *name, bool halves, size_t r)
{
	const size_t hd = c->params.head_dim, at = r % hd, first = r - at;

	if (!strstr(name, ".attn_q.") && !strstr(name, ".attn_k."))
		return r;
	if (!halves)
		return r;
	return first + (at < hd / 2 ? 2 * at : 2 * (at - hd / 2) + 1);
}

/* All that was given is in out, and nothing else. */
static void check_codes(const struct export_case *c, const struct weir_checkpoint *out, size_t i, bool halves)
{
	const struct weir_checkpoint_tensor *t = weir_checkpoint_tensor(out, c->tensors[i].in->name);
	const size_t k = t->dim[0], group = c->set.group ? WEIR_MIN(c->set.group, k) : k, n = (k + group - 1) / group;
	struct weir_codes want = export_codes(c, i);
	uint8_t *q = malloc(k), *zero = malloc(n);
	float *scale = malloc(n * sizeof(*scale));

	ck_assert_uint_eq(t->coding.bits, c->set.bits);
	ck_assert_uint_eq(t->coding.zeros, c->set.bits != 8);
	ck_assert_uint_eq(t->coding.row_act, c->set.row_act);
	ck_assert_uint_eq(WEIR_MIN(t->coding.group, k), group);
	for (size_t r = 0; r < t->dim[1]; r++) {
		const size_t from = row_of(c, t->name, halves, r);

		ck_assert_msg(!weir_checkpoint_codes(out, t, r, 1, q, scale, zero), "%s", weir_error());
		ck_assert_mem_eq(q, want.q + from * k, k);
		ck_assert_mem_eq(scale, want.scale + from * n, n * sizeof(*scale));
		if (want.zero)
			ck_assert_mem_eq(zero, want.zero + from * n, n);
	}
	free(q);
	free(zero);
	free(scale);
	export_codes_free(&want);
}

static void check_floats(const struct export_case *c, const struct weir_checkpoint *out, size_t i, bool halves)
{
	const struct weir_checkpoint_tensor *in = c->tensors[i].in, *t = weir_checkpoint_tensor(out, in->name);
	float *want = floats_of(c->in, in), *have = floats_of(out, t);
	const size_t k = t->n_dims == 1 ? 1 : t->dim[0];

	for (size_t r = 0; r < t->weights / k; r++)
		for (size_t j = 0; j < k; j++) {
			float w = want[row_of(c, t->name, halves, r) * k + j];

			if (c->set.folder)
				w = weir_half_to_float(weir_float_to_half(w));
			ck_assert_msg(have[r * k + j] == w, "%s %zu %zu", t->name, r, j);
		}
	free(want);
	free(have);
}

static void check_output(const struct export_case *c)
{
	struct weir_checkpoint *out = reopen(c->path);
	const bool halves = c->set.folder && c->params.rope == WEIR_ROPE_ADJACENT;
	struct weir_params p;

	ck_assert_uint_eq(weir_checkpoint_tensor_count(out), c->n);
	for (size_t i = 0; i < c->n; i++) {
		const struct weir_checkpoint_tensor *in = c->tensors[i].in, *t = weir_checkpoint_tensor(out, in->name);

		ck_assert_msg(t, "%s is missing", in->name);
		ck_assert_mem_eq(t->dim, in->dim, sizeof(t->dim));
		if (c->tensors[i].form == WEIR_EXPORT_CODES)
			check_codes(c, out, i, halves);
		else
			check_floats(c, out, i, halves);
		if (c->tensors[i].form == WEIR_EXPORT_KEEP && !c->set.folder)
			ck_assert_uint_eq(t->type, in->type);
	}
	ck_assert_msg(!weir_params_read(out, &p), "%s", weir_error());
	ck_assert_uint_eq(p.heads, c->params.heads);
	ck_assert_uint_eq(p.ff, c->params.ff);
	ck_assert_float_eq(p.eps, c->params.eps);
	for (uint32_t i = 0; i < p.n_rot / 2; i++)
		ck_assert_double_lt(fabs(p.freq[i] / c->params.freq[i] - 1), 1e-6);
	weir_checkpoint_close(out);
}

static void round_trip(const struct model_shape *shape, unsigned bits, uint32_t group, bool row_act, bool folder)
{
	struct export_case c;

	export_case_init(&c, shape);
	c.set.bits = bits;
	c.set.group = group;
	c.set.row_act = row_act;
	c.set.folder = folder;
	export_whole(&c);
	check_output(&c);
	export_case_fini(&c);
}

START_TEST(test_gguf)
{
	static const unsigned bits[] = {2, 3, 4, 8};
	static const uint32_t groups[] = {32, 64, 128, 0}; /* of 64, 96 and 160: short last groups too */

	for (size_t b = 0; b < WEIR_ARRAY_SIZE(bits); b++)
		for (size_t g = 0; g < WEIR_ARRAY_SIZE(groups); g++)
			round_trip(&llama, bits[b], groups[g], false, false);
	round_trip(&llama, 8, 0, true, false);
	round_trip(&llama_plain, 4, 32, false, false);
	round_trip(&qwen2, 4, 32, false, false);
	round_trip(&qwen3, 3, 32, false, false);
}
END_TEST

START_TEST(test_folder)
{
	round_trip(&llama_plain, 4, 32, false, true);
	round_trip(&llama_plain, 4, 0, false, true);
	round_trip(&qwen2, 4, 32, false, true);
	round_trip(&qwen3, 4, 32, false, true);
}
END_TEST

/* Keys are as they were, but for those that say how the weights are stored. */
START_TEST(test_keys)
{
	struct export_case c;
	const struct weir_gguf *in, *out;
	struct weir_checkpoint *written;
	struct weir_str text;
	uint32_t value;
	size_t same = 0;

	export_case_init(&c, &llama);
	export_whole(&c);
	written = reopen(c.path);
	in = weir_checkpoint_gguf(c.in);
	out = weir_checkpoint_gguf(written);
	for (size_t i = 0; i < weir_gguf_meta_count(in); i++) {
		char a[256], b[256];
		enum weir_gguf_value type;
		struct weir_str key;

		ck_assert_int_eq(weir_gguf_meta(in, i, &key, &type), 0);
		weir_gguf_meta_text(in, i, a, sizeof(a));
		weir_gguf_meta_text(out, i, b, sizeof(b)); /* in the same order, the new ones after them */
		ck_assert_str_eq(a, b);
		same++;
	}
	ck_assert_uint_eq(weir_gguf_meta_count(out), same + 5);
	ck_assert_int_eq(weir_gguf_u32(out, "general.file_type", &value), 0);
	ck_assert_uint_eq(value, 3);
	ck_assert_int_eq(weir_gguf_u32(out, "weir.quantization.bits", &value), 0);
	ck_assert_uint_eq(value, 4);
	ck_assert_int_eq(weir_gguf_string(out, "weir.quantization.method", &text), 0);
	ck_assert(text.len == 3 && !memcmp(text.ptr, "rtn", 3));
	weir_checkpoint_close(written);
	export_case_fini(&c);
}
END_TEST

/* A file of every kind of value, copied key by key. */
START_TEST(test_values)
{
	struct gguf_writer *sample = gguf_writer_sample(3);
	struct weir_gguf_out *w = weir_gguf_out_new();
	struct weir_gguf_header h;
	struct weir_gguf *in, *out;
	size_t size;
	const void *data = gguf_writer_finish(sample, &size);

	ck_assert_int_eq(weir_gguf_open_memory(data, size, "sample", &in), 0);
	for (size_t i = 0; i < weir_gguf_meta_count(in); i++)
		weir_gguf_put_copy(w, in, i);
	weir_gguf_put_strings(w, "more", 2);
	weir_gguf_put_element(w, "one", 3);
	weir_gguf_put_element(w, "", 0);
	weir_gguf_put_array(w, "numbers", WEIR_GGUF_I32, (int32_t[]){-1, 2}, 2);
	weir_gguf_put_bool(w, "true", true);
	ck_assert_int_eq(weir_gguf_out_finish(w, &h), 0);
	ck_assert_uint_eq(h.file_size, h.size);
	ck_assert_msg(!weir_gguf_open_memory(h.data, h.size, "copy", &out), "%s", weir_error());
	ck_assert_uint_eq(weir_gguf_meta_count(out), weir_gguf_meta_count(in) + 3);
	for (size_t i = 0; i < weir_gguf_meta_count(out); i++) {
		static const char *const added[] = {"[2 x string] \"one\", \"\"", "[2 x i32] -1, 2", "true"};
		char a[512], b[512];

		weir_gguf_meta_text(out, i, b, sizeof(b));
		if (i < weir_gguf_meta_count(in))
			weir_gguf_meta_text(in, i, a, sizeof(a));
		else
			snprintf(a, sizeof(a), "%s", added[i - weir_gguf_meta_count(in)]);
		ck_assert_str_eq(a, b);
	}
	weir_gguf_close(in);
	weir_gguf_close(out);
	weir_gguf_out_free(w);
	gguf_writer_free(sample);
}
END_TEST

/* A header's claims are sums of what it is given: too big ones are refused. */
START_TEST(test_too_big)
{
	struct weir_gguf_out *w = weir_gguf_out_new();
	struct weir_safetensors_out *s = weir_safetensors_out_new();
	struct weir_safetensors_header sh;
	struct weir_gguf_header h;

	for (int i = 0; i < 3; i++)
		weir_gguf_put_tensor(w, "big", WEIR_TYPE_F32, 2, (uint64_t[]){1ull << 30, 1ull << 30});
	ck_assert_int_eq(weir_gguf_out_finish(w, &h), -EOVERFLOW);
	weir_gguf_out_free(w);
	weir_safetensors_put(s, "big", WEIR_DTYPE_I32, 2, (uint64_t[]){1ull << 31, 1ull << 31});
	ck_assert_int_eq(weir_safetensors_out_finish(s, &sh), -EOVERFLOW);
	weir_safetensors_out_free(s);
}
END_TEST

/* ---- AutoAWQ's layout by its own formula, from the file's bytes ---- */

struct awq_file {
	char *data;
	size_t size;
	struct json_object *header;
	const char *tensors;
};

static void awq_open(struct awq_file *f, const char *folder)
{
	char path[256], *json;
	uint64_t length;

	snprintf(path, sizeof(path), "%s/model.safetensors", folder);
	ck_assert_msg(!weir_file_read(path, 1 << 24, &f->data, &f->size), "%s", weir_error());
	memcpy(&length, f->data, 8);
	ck_assert_uint_eq((length + 8) % 64, 0);
	json = strndup(f->data + 8, length);
	f->header = json_tokener_parse(json);
	ck_assert(f->header);
	f->tensors = f->data + 8 + length;
	free(json);
}

static void awq_close(struct awq_file *f)
{
	json_object_put(f->header);
	free(f->data);
}

static const void *awq_tensor(const struct awq_file *f, const char *module, const char *part, const char *type,
	size_t rows, size_t columns)
{
	struct json_object *t, *o;
	char name[128];

	snprintf(name, sizeof(name), "%s.%s", module, part);
	ck_assert_msg(json_object_object_get_ex(f->header, name, &t), "%s", name);
	ck_assert(json_object_object_get_ex(t, "dtype", &o));
	ck_assert_str_eq(json_object_get_string(o), type);
	ck_assert(json_object_object_get_ex(t, "shape", &o));
	ck_assert_uint_eq(json_object_get_uint64(json_object_array_get_idx(o, 0)), rows);
	ck_assert_uint_eq(json_object_get_uint64(json_object_array_get_idx(o, 1)), columns);
	ck_assert(json_object_object_get_ex(t, "data_offsets", &o));
	return f->tensors + json_object_get_uint64(json_object_array_get_idx(o, 0));
}

/* unpack_awq and reverse_awq_order of AutoAWQ's packing_utils.py: column c of the weights, from words of a row. */
static unsigned awq_code(const char *words, size_t per_row, size_t row, size_t c)
{
	static const unsigned reverse[8] = {0, 4, 1, 5, 2, 6, 3, 7};
	uint32_t word;

	memcpy(&word, words + (row * per_row + c / 8) * 4, 4);
	return word >> 4 * reverse[c % 8] & 15;
}

START_TEST(test_awq_bytes)
{
	const char *const module = "model.layers.1.mlp.down_proj";
	const size_t k = llama_plain.ff, rows = llama_plain.dim, group = 32;
	const char *qweight, *qzeros, *scales;
	struct weir_codes want;
	struct export_case c;
	struct awq_file f;
	size_t i = 0;

	export_case_init(&c, &llama_plain);
	c.set.folder = true;
	export_whole(&c);
	while (strcmp(c.tensors[i].in->name, "blk.1.ffn_down.weight"))
		i++;
	want = export_codes(&c, i);
	awq_open(&f, c.path);
	qweight = awq_tensor(&f, module, "qweight", "I32", k, rows / 8);
	qzeros = awq_tensor(&f, module, "qzeros", "I32", k / group, rows / 8);
	scales = awq_tensor(&f, module, "scales", "F16", k / group, rows);
	for (size_t r = 0; r < rows; r++)
		for (size_t j = 0; j < k; j++) {
			const size_t g = j / group;
			uint16_t half;

			memcpy(&half, scales + 2 * (g * rows + r), 2);
			ck_assert_uint_eq(awq_code(qweight, rows / 8, j, r), want.q[r * k + j]);
			ck_assert_uint_eq(awq_code(qzeros, rows / 8, g, r), want.zero[r * (k / group) + g]);
			ck_assert_float_eq(weir_half_to_float(half), want.scale[r * (k / group) + g]);
		}
	awq_close(&f);
	export_codes_free(&want);
	export_case_fini(&c);
}
END_TEST

/* ---- a file becomes a folder becomes a file ---- */

static void keep_all_but_codes(struct export_case *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->tensors[i].form != WEIR_EXPORT_CODES)
			c->tensors[i].form = WEIR_EXPORT_KEEP;
}

/* The matrix's codes as in holds them go out as they are. */
static void pass_codes(const struct export_case *c, struct weir_export *x, size_t i)
{
	const struct weir_checkpoint_tensor *t = c->tensors[i].in;
	const size_t rows = t->dim[1], n = rows * weir_coding_groups(&t->coding, t->dim[0]);
	uint8_t *q = malloc(t->weights), *zero = malloc(n);
	float *scale = malloc(n * sizeof(*scale));

	ck_assert_msg(!weir_checkpoint_codes(c->in, t, 0, rows, q, scale, zero), "%s", weir_error());
	ck_assert_msg(!weir_export_codes(x, i, &(struct weir_codes){q, scale, zero}), "%s", weir_error());
	free(q);
	free(zero);
	free(scale);
}

static void there_and_back(const struct model_shape *shape)
{
	struct export_case there, back;
	struct weir_checkpoint *out;
	struct weir_export *x;

	export_case_init(&there, shape);
	there.set.folder = true;
	export_whole(&there);
	export_case_open(&back, there.path);
	keep_all_but_codes(&back);
	weir_tokenizer_close(back.tokenizer);
	back.tokenizer = NULL;
	x = export_open(&back);
	for (size_t i = 0; i < back.n; i++)
		if (back.tensors[i].form == WEIR_EXPORT_CODES)
			pass_codes(&back, x, i);
	ck_assert_msg(!weir_export_finish(x, NULL, NULL), "%s", weir_error());
	weir_export_close(x);
	out = reopen(back.path);
	there.set.folder = false; /* rows lie as they first did */
	for (size_t i = 0; i < there.n; i++) {
		if (there.tensors[i].form == WEIR_EXPORT_CODES)
			check_codes(&there, out, i, false);
		else if (there.tensors[i].in->n_dims == 1)
			ck_assert_uint_eq(weir_checkpoint_tensor(out, there.tensors[i].in->name)->type, WEIR_TYPE_F32);
	}
	weir_checkpoint_close(out);
	export_case_fini(&back);
	export_case_fini(&there);
}

START_TEST(test_there_and_back)
{
	there_and_back(&llama_plain);
	there_and_back(&qwen2);
}
END_TEST

/* ---- positions ---- */

static double llama3(double freq, double factor, double context)
{
	double turns = context * freq / (2 * M_PI), smooth = (turns - 1) / 3;

	if (turns < 1)
		return freq / factor;
	return turns > 4 ? freq : (1 - smooth) * freq / factor + smooth * freq;
}

START_TEST(test_rope)
{
	struct weir_params p = {.n_rot = 64};
	struct weir_export_rope rope;
	uint32_t original;

	for (uint32_t i = 0; i < 32; i++)
		p.freq[i] = llama3(pow(500000, -2.0 * i / 64), 32, 8192);
	weir_export_rope_of(&p, &rope);
	ck_assert_double_eq(rope.base, 500000);
	ck_assert(!rope.even);
	ck_assert_double_eq_tol(rope.factor, 32, 1e-4);
	ck_assert(weir_export_rope_llama3(&rope, 64, &original));
	ck_assert_uint_eq(original, 8192);
	p.freq[20] *= 1.01;
	weir_export_rope_of(&p, &rope);
	ck_assert(!weir_export_rope_llama3(&rope, 64, &original));

	for (uint32_t i = 0; i < 32; i++)
		p.freq[i] = pow(10000, -2.0 * i / 64) / 4;
	weir_export_rope_of(&p, &rope);
	ck_assert_double_eq(rope.base, 10000);
	ck_assert(rope.even);
	ck_assert_double_eq_tol(rope.factor, 4, 1e-9);
}
END_TEST

static void check_frequencies(const char *path, const struct weir_params *want)
{
	struct weir_checkpoint *c = reopen(path);
	struct weir_params p;

	ck_assert_msg(!weir_params_read(c, &p), "%s", weir_error());
	for (uint32_t i = 0; i < p.n_rot / 2; i++)
		ck_assert_double_lt(fabs(p.freq[i] / want->freq[i] - 1), 1e-6);
	weir_checkpoint_close(c);
}

/* A folder's scaling becomes a tensor or a key of a file, and a folder's words again. */
static void scaling(bool linear, const char *key)
{
	struct export_case folder, file, again;
	struct weir_checkpoint *c;
	struct weir_str type;

	export_case_init(&folder, &llama_plain);
	folder.set.folder = true;
	export_whole(&folder);
	export_case_open(&file, folder.path);
	for (uint32_t i = 0; i < file.params.n_rot / 2; i++)
		file.params.freq[i] = linear ? file.params.freq[i] / 4 : llama3(file.params.freq[i], 8, 8192);
	export_whole(&file);
	check_frequencies(file.path, &file.params);
	c = reopen(file.path);
	if (linear)
		ck_assert_int_eq(weir_gguf_string(weir_checkpoint_gguf(c), key, &type), 0);
	else
		ck_assert(weir_checkpoint_tensor(c, key));
	weir_checkpoint_close(c);
	export_case_open(&again, file.path);
	again.set.folder = true;
	export_whole(&again);
	check_frequencies(again.path, &file.params);
	export_case_fini(&again);
	export_case_fini(&file);
	export_case_fini(&folder);
}

START_TEST(test_scaling)
{
	scaling(true, "llama.rope.scaling.type");
	scaling(false, "rope_freqs.weight");
}
END_TEST

/* ---- what a folder cannot hold ---- */

static void refused(const struct model_shape *shape, unsigned bits, uint32_t group, bool row_act, int err,
	const char *says)
{
	struct export_case c;
	struct weir_export *x;

	export_case_init(&c, shape);
	c.set.folder = true;
	c.set.bits = bits;
	c.set.group = group;
	c.set.row_act = row_act;
	ck_assert_int_eq(weir_export_open(c.in, &c.params, c.tokenizer, &c.set, c.tensors, c.n, &x), err);
	ck_assert_msg(strstr(weir_error(), says), "%s", weir_error());
	ck_assert_int_eq(rmdir(c.dir), 0); /* nothing was left */
	export_case_fini(&c);
}

START_TEST(test_refused)
{
	static const struct model_shape odd_rope = {.arch = "qwen3", .type = WEIR_TYPE_F32, .layers = 1, .dim = 64,
		.ff = 96, .heads = 4, .kv_heads = 2, .vocab = 40, .rope_factors = true};

	refused(&llama_plain, 8, 32, false, -EOPNOTSUPP, "4 bits, not 8");
	refused(&llama_plain, 3, 32, false, -EOPNOTSUPP, "4 bits, not 3");
	refused(&llama_plain, 8, 0, true, -EOPNOTSUPP, "no quantized activations");
	refused(&llama_plain, 4, 64, false, -EOPNOTSUPP, "use --group 32");
	refused(&llama_plain, 4, 48, false, -EINVAL, "a multiple of 32");
	refused(&llama_plain, 5, 32, false, -EINVAL, "2, 3, 4 or 8");
	refused(&llama, 4, 32, false, -EOPNOTSUPP, "these biases");
	refused(&odd_rope, 4, 32, false, -EOPNOTSUPP, "positions are scaled");
}
END_TEST

START_TEST(test_given_wrong)
{
	struct weir_codes codes;
	struct weir_export *x;
	struct export_case c;
	size_t i = 0;

	export_case_init(&c, &llama);
	x = export_open(&c);
	while (c.tensors[i].form != WEIR_EXPORT_CODES)
		i++;
	codes = export_codes(&c, i);
	ck_assert_int_eq(weir_export_floats(x, i, codes.scale), -EINVAL);
	((float *)codes.scale)[3] = 1e6f;
	ck_assert_int_eq(weir_export_codes(x, i, &codes), -ERANGE);
	((float *)codes.scale)[3] = 1;
	((uint8_t *)codes.zero)[3] = 16;
	ck_assert_int_eq(weir_export_codes(x, i, &codes), -EINVAL);
	((uint8_t *)codes.zero)[3] = 15;
	((uint8_t *)codes.q)[5] = 16;
	ck_assert_int_eq(weir_export_codes(x, i, &codes), -EINVAL);
	ck_assert(strstr(weir_error(), c.tensors[i].in->name));
	ck_assert_int_eq(weir_export_stage_done(x, 1), -EINVAL);
	ck_assert_int_eq(weir_export_finish(x, NULL, NULL), -EINVAL);
	ck_assert(strstr(weir_error(), "was never given"));
	ck_assert_int_ne(access(c.path, F_OK), 0);
	weir_export_close(x);
	export_codes_free(&codes);
	export_case_fini(&c);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("export");
	TCase *t = tcase_create("formats");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_values);
	tcase_add_test(t, test_too_big);
	tcase_add_test(t, test_gguf);
	tcase_add_test(t, test_keys);
	tcase_add_test(t, test_folder);
	tcase_add_test(t, test_awq_bytes);
	tcase_add_test(t, test_there_and_back);
	tcase_add_test(t, test_rope);
	tcase_add_test(t, test_scaling);
	tcase_add_test(t, test_refused);
	tcase_add_test(t, test_given_wrong);
	suite_add_tcase(s, t);
	return suite_run(s);
}
