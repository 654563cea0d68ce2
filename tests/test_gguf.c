/* SPDX-License-Identifier: MIT */
/* GGUF files: valid ones in every shape, shards, real ones. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "format/gguf.h"
#include "gguf_walk.h"
#include "gguf_writer.h"
#include "suite.h"
#include "weir/llm.h"

static volatile uint64_t sink;

static struct weir_gguf *open_writer(struct gguf_writer *w)
{
	struct weir_gguf *g;
	size_t size;
	const void *data = gguf_writer_finish(w, &size);

	ck_assert_msg(!weir_gguf_open_memory(data, size, "sample.gguf", &g), "%s", weir_error());
	return g;
}

/* ---- valid files ----------------------------------------------------------------------------- */

START_TEST(typed_lookups)
{
	struct gguf_writer *w = gguf_writer_sample((uint32_t)_i);
	struct weir_gguf *g = open_writer(w);
	uint32_t u = 0;
	float f = 0;
	bool b = false;

	ck_assert_uint_eq(weir_gguf_version(g), (unsigned)_i);
	ck_assert_uint_eq(weir_gguf_shards(g), 1);
	ck_assert_str_eq(weir_gguf_path(g), "sample.gguf");
	ck_assert(!weir_gguf_u32(g, "u8", &u) && u == 200);
	ck_assert(!weir_gguf_u32(g, "u16", &u) && u == 60000);
	ck_assert(!weir_gguf_u32(g, "i16", &u) && u == 1234);
	ck_assert(!weir_gguf_u32(g, "u32", &u) && u == 4000000000);
	ck_assert(!weir_gguf_f32(g, "f32", &f) && f == 1e-5f);
	ck_assert(!weir_gguf_f32(g, "f64", &f) && f == 0.1f);
	ck_assert(!weir_gguf_bool(g, "yes", &b) && b);
	ck_assert(!weir_gguf_bool(g, "no", &b) && !b);
	ck_assert_int_eq(weir_gguf_u32(g, "u3", &u), -ENOENT);
	ck_assert_int_eq(weir_gguf_u32(g, "", &u), -ENOENT);
	weir_gguf_close(g);
	gguf_writer_free(w);
}
END_TEST

#define expect(call, want, sentence)                                                               \
	do {                                                                                       \
		ck_assert_int_eq(call, want);                                                      \
		ck_assert_str_eq(weir_error(), "cannot read sample.gguf: " sentence);              \
	} while (0)

START_TEST(wrong_types)
{
	struct gguf_writer *w = gguf_writer_sample(3);
	struct weir_gguf *g = open_writer(w);
	struct weir_gguf_array a;
	struct weir_str s;
	uint32_t u;
	float f;
	bool b;

	expect(weir_gguf_u32(g, "i8", &u), -EINVAL, "key i8 is negative");
	expect(weir_gguf_u32(g, "u64", &u), -EINVAL,
		"key u64 is 18446744073709551615, more than fits in 32 bits");
	expect(weir_gguf_u32(g, "f32", &u), -EINVAL, "key f32 has type f32, not an integer");
	expect(weir_gguf_u32(g, "yes", &u), -EINVAL, "key yes has type bool, not an integer");
	expect(weir_gguf_u32(g, "words", &u), -EINVAL,
		"key words has type array of string, not an integer");
	expect(weir_gguf_f32(g, "huge", &f), -EINVAL, "key huge is 1e+300, not a finite f32");
	expect(weir_gguf_f32(g, "u8", &f), -EINVAL, "key u8 has type u8, not f32");
	expect(weir_gguf_bool(g, "u8", &b), -EINVAL, "key u8 has type u8, not bool");
	expect(weir_gguf_string(g, "u8", &s), -EINVAL, "key u8 has type u8, not string");
	expect(weir_gguf_array(g, "u8", WEIR_GGUF_F32, &a), -EINVAL,
		"key u8 has type u8, not array of f32");
	expect(weir_gguf_array(g, "words", WEIR_GGUF_F32, &a), -EINVAL,
		"key words has type array of string, not array of f32");
	weir_gguf_close(g);
	gguf_writer_free(w);
}
END_TEST

START_TEST(strings_and_arrays)
{
	static const char *const words[] = {"<unk>", "", "two\nlines", "\xe2\x82\xac"};
	struct gguf_writer *w = gguf_writer_sample(3);
	struct weir_gguf *g = open_writer(w);
	struct weir_gguf_array a;
	const void *at = NULL;
	struct weir_str s;
	unsigned n = 0;

	ck_assert(!weir_gguf_string(g, "bytes", &s));
	ck_assert_uint_eq(s.len, 8);
	ck_assert_mem_eq(s.ptr, "a\0b\xff\x1b[1m", 8);
	ck_assert(!weir_gguf_array(g, "words", WEIR_GGUF_STRING, &a));
	ck_assert_uint_eq(a.count, 4);
	for (; weir_gguf_next_string(&a, &at, &s); n++) {
		ck_assert_uint_lt(n, 4);
		ck_assert_uint_eq(s.len, strlen(words[n]));
		ck_assert_mem_eq(s.ptr, words[n], s.len);
	}
	ck_assert_uint_eq(n, 4);
	ck_assert(!weir_gguf_next_string(&a, &at, &s));
	at = NULL;
	ck_assert(!weir_gguf_array(g, "no.words", WEIR_GGUF_STRING, &a));
	ck_assert(!weir_gguf_next_string(&a, &at, &s));
	ck_assert(!weir_gguf_array(g, "scores", WEIR_GGUF_F32, &a));
	ck_assert_uint_eq(a.count, 40);
	ck_assert(weir_gguf_number(&a, 39) == 39.0 / 4);
	ck_assert(!weir_gguf_array(g, "flags", WEIR_GGUF_BOOL, &a));
	ck_assert(weir_gguf_number(&a, 2) == 1);
	ck_assert(!weir_gguf_array(g, "nothing", WEIR_GGUF_I32, &a));
	ck_assert_uint_eq(a.count, 0);
	weir_gguf_close(g);
	gguf_writer_free(w);
}
END_TEST

START_TEST(tensors)
{
	struct gguf_writer *w = gguf_writer_sample((uint32_t)_i);
	struct weir_gguf *g = open_writer(w);
	const struct weir_gguf_tensor *t;

	ck_assert_uint_eq(weir_gguf_tensor_count(g), 4);
	ck_assert_ptr_null(weir_gguf_tensor_at(g, 4));
	ck_assert_ptr_null(weir_gguf_tensor(g, "a.weigh"));
	t = weir_gguf_tensor(g, "a.weight");
	ck_assert_ptr_eq(t, weir_gguf_tensor_at(g, 0));
	ck_assert_uint_eq(t->type, WEIR_TYPE_F32);
	ck_assert_uint_eq(t->n_dims, 2);
	ck_assert(t->dim[0] == 64 && t->dim[1] == 3 && t->dim[2] == 1 && t->dim[3] == 1);
	ck_assert_uint_eq(t->weights, 192);
	ck_assert_uint_eq(t->size, 768);
	ck_assert_uint_eq(t->offset % 32, 0);
	ck_assert(((const float *)t->data)[191] == 191.0f / 4);
	t = weir_gguf_tensor(g, "b.weight");
	ck_assert_uint_eq(t->size, 288);
	t = weir_gguf_tensor(g, "c.odd"); /* IQ2_XS: known by name and size, not run */
	ck_assert_str_eq(weir_type_name(t->type), "IQ2_XS");
	ck_assert_ptr_null(t->data);
	ck_assert_uint_eq(t->size, 74);
	t = weir_gguf_tensor(g, "d.bias");
	ck_assert_uint_eq(t->size, 14);
	ck_assert_uint_eq(t->offset + t->size, weir_gguf_bytes(g));
	weir_gguf_close(g);
	gguf_writer_free(w);
}
END_TEST

START_TEST(types)
{
	size_t weights, bytes;
	unsigned runs = 0;

	ck_assert_str_eq(weir_type_name(WEIR_TYPE_Q4_K), "Q4_K");
	ck_assert_str_eq(weir_type_name(34), "TQ1_0");
	ck_assert_str_eq(weir_type_name(39), "MXFP4");
	ck_assert_ptr_null(weir_type_name(1000));
	ck_assert(weir_type_block(WEIR_TYPE_Q6_K, &weights, &bytes));
	ck_assert(weights == 256 && bytes == 210);
	ck_assert(!weir_type_block(17, &weights, &bytes));
	ck_assert(!weir_type_block(1000, &weights, &bytes));
	for (uint32_t i = 0; i < 100; i++)
		runs += weir_type_block(i, &weights, &bytes);
	ck_assert_uint_eq(runs, 13);
}
END_TEST

/* ---- values as text -------------------------------------------------------------------------- */

static size_t index_of(const struct weir_gguf *g, const char *name)
{
	enum weir_gguf_value type;
	struct weir_str key;

	for (size_t i = 0; i < weir_gguf_meta_count(g); i++) {
		ck_assert(!weir_gguf_meta(g, i, &key, &type));
		if (key.len == strlen(name) && !memcmp(key.ptr, name, key.len))
			return i;
	}
	ck_abort_msg("no key %s", name);
}

START_TEST(text)
{
	static const struct {
		const char *key, *text;
		size_t size;
	} cases[] = {
		{"general.architecture", "llama", 80},
		{"general.architecture", "llama", 6},
		{"general.architecture", "l...", 5},
		{"general.architecture", "...", 4},
		{"general.architecture", "ll", 3},
		{"general.architecture", "", 1},
		{"i8", "-3", 80},
		{"u32", "4000000000", 80},
		{"f32", "1e-05", 80},
		{"f64", "0.1", 80},
		{"yes", "true", 80},
		{"no", "false", 80},
		{"u64", "18446744073709551615", 80},
		{"i64", "-9223372036854775808", 80},
		{"bytes", "a\\x00b\\xff\\x1b[1m", 80},
		{"bytes", "a\\x00b...", 10},
		{"bytes", "a\\x00...", 9},
		{"words", "[4 x string] \"<unk>\", \"\", \"two\\nlines\", \"\xe2\x82\xac\"", 80},
		{"words", "[4 x string] \"<unk>\", \"\", \"two\\nlines\", \"...", 45},
		{"flags", "[3 x bool] true, false, true", 80},
		{"nothing", "[0 x i32]", 80},
		{"scores",
			"[40 x f32] 0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, "
			"2.75, 3, 3.25, 3.5, 3.75, ...",
			200},
		{"scores", "[40 x f32] 0, 0.25, ...", 24},
	};
	struct gguf_writer *w = gguf_writer_sample(3);
	struct weir_gguf *g = open_writer(w);
	char out[200];

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(cases); i++) {
		memset(out, 'x', sizeof(out));
		weir_gguf_meta_text(g, index_of(g, cases[i].key), out, cases[i].size);
		ck_assert_str_eq(out, cases[i].text);
	}
	ck_assert_int_eq(weir_gguf_meta(g, 1000, &(struct weir_str){0}, &(enum weir_gguf_value){0}),
		-ERANGE);
	weir_gguf_close(g);
	gguf_writer_free(w);
}
END_TEST

/* ---- files and shards ------------------------------------------------------------------------ */

static char folder[32];

static void make_folder(void)
{
	strcpy(folder, "/tmp/weir-gguf-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

/* Also what a failed test left: each test makes its own. */
static void remove_folder(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

static const char *in_folder(const char *name)
{
	static char path[2][300];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
	return path[turn];
}

static void save(struct gguf_writer *w, const char *name)
{
	ck_assert_int_eq(gguf_writer_save(w, in_folder(name)), 0);
	gguf_writer_free(w);
}

/* Opening name must fail; the sentence is about the file in, and says this. */
static void refused(const char *name, const char *in, const char *sentence)
{
	struct weir_gguf *g;
	char want[400];

	snprintf(want, sizeof(want), "cannot read %s: %s", in_folder(in), sentence);
	ck_assert_int_lt(weir_gguf_open(in_folder(name), &g), 0);
	ck_assert_ptr_null(g);
	ck_assert_str_eq(weir_error(), want);
}

START_TEST(odd_files)
{
	refused("none.gguf", "none.gguf", "No such file or directory");
	refused(".", ".", "it is not a regular file");
	ck_assert_int_eq(mkfifo(in_folder("pipe"), 0600), 0);
	refused("pipe", "pipe", "it is not a regular file");
	fclose(fopen(in_folder("empty.gguf"), "w"));
	refused("empty.gguf", "empty.gguf", "it is empty");
}
END_TEST

static const uint64_t dim32[] = {32};

/* A shard with one tensor; count 0: without split keys. */
static void save_shard(const char *name, uint16_t number, uint16_t count, const char *tensor)
{
	struct gguf_writer *w = gguf_writer_new(3);
	float data[32];

	for (int i = 0; i < 32; i++)
		data[i] = (float)number + 0.5f;
	if (!number)
		gguf_writer_string(w, "general.architecture", "llama");
	if (count) {
		gguf_writer_scalar(w, "split.no", WEIR_GGUF_U16, &number);
		gguf_writer_scalar(w, "split.count", WEIR_GGUF_U16, &count);
		gguf_writer_scalar(w, "split.tensors.count", WEIR_GGUF_I32, &(int32_t){count});
	}
	gguf_writer_tensor(w, tensor, WEIR_TYPE_F32, 1, dim32, data);
	save(w, name);
}

START_TEST(shards)
{
	const uint16_t count = _i ? 3 : 0;
	const struct weir_gguf_tensor *t;
	struct weir_gguf *g;
	struct weir_str s;
	weir_file *f;
	struct weir_file_tensor ft;

	save_shard("m-00001-of-00003.gguf", 0, count, "x");
	save_shard("m-00002-of-00003.gguf", 1, count, "y");
	save_shard("m-00003-of-00003.gguf", 2, count, "a");
	ck_assert_msg(!weir_gguf_open(in_folder("m-00001-of-00003.gguf"), &g), "%s", weir_error());
	ck_assert_uint_eq(weir_gguf_shards(g), 3);
	ck_assert_uint_eq(weir_gguf_tensor_count(g), 3);
	ck_assert(!weir_gguf_string(g, "general.architecture", &s));
	t = weir_gguf_tensor(g, "y");
	ck_assert_uint_eq(t->shard, 1);
	ck_assert(((const float *)t->data)[31] == 1.5f);
	weir_gguf_drop(g, t);
	ck_assert(((const float *)t->data)[0] == 1.5f);
	t = weir_gguf_tensor(g, "a");
	ck_assert_uint_eq(t->shard, 2);
	ck_assert(((const float *)t->data)[0] == 2.5f);
	sink = gguf_walk(g);
	weir_gguf_close(g);

	ck_assert_int_eq(weir_file_open(&f, in_folder("m-00001-of-00003.gguf")), 0);
	ck_assert_str_eq(weir_file_format(f), "GGUF v3, 3 shards");
	ck_assert_int_eq(weir_file_tensor(f, 2, &ft), 0);
	ck_assert_str_eq(ft.name, "a");
	ck_assert_str_eq(ft.type, "F32");
	ck_assert(ft.bytes == 128 && ft.n_dims == 1 && ft.dim[0] == 32 && ft.shard == 2);
	ck_assert_int_eq(weir_file_tensor(f, 3, &ft), -ERANGE);
	weir_file_close(f);
}
END_TEST

START_TEST(broken_shards)
{
	save_shard("m-00001-of-00002.gguf", 0, 2, "x");
	refused("m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "No such file or directory");
	refused("m-00002-of-00002.gguf", "m-00002-of-00002.gguf",
		"it is shard 2 of 2; open the first one");
	save_shard("m-00002-of-00002.gguf", 1, 3, "y");
	refused("m-00001-of-00002.gguf", "m-00002-of-00002.gguf",
		"split.count is 3, but its name says that there are 2");
	save_shard("m-00002-of-00002.gguf", 0, 2, "y");
	refused("m-00001-of-00002.gguf", "m-00002-of-00002.gguf",
		"split.no is 0, but by its name it is 1");
	save_shard("m-00002-of-00002.gguf", 1, 2, "x");
	refused("m-00001-of-00002.gguf", "m-00001-of-00002.gguf", "tensor x is there twice");
	save_shard("m-00001-of-00001.gguf", 0, 2, "x");
	refused("m-00001-of-00001.gguf", "m-00001-of-00001.gguf",
		"split.count is 2, but its name says that there is 1");
	save_shard("n-00001-of-00002.gguf", 0, 2, "x");
	save(gguf_writer_new(3), "n-00002-of-00002.gguf");
	refused("n-00001-of-00002.gguf", "n-00001-of-00002.gguf",
		"split.tensors.count is 2, but there are 1 tensors");
	/* Not the name of a shard: there is no shard 1 of 0. */
	save_shard("-00001-of-00000.gguf", 0, 2, "x");
	refused("-00001-of-00000.gguf", "-00001-of-00000.gguf",
		"split.count is 2, but its name says that there is 1");
}
END_TEST

/* Long keys that differ at their end alone: a search one by one would take minutes. */
START_TEST(many_names)
{
	enum { COUNT = 200000 };
	struct gguf_writer *w = gguf_writer_new(3);
	struct weir_gguf *g;
	char name[64];
	uint32_t value;

	for (uint32_t i = 0; i < COUNT; i++) {
		snprintf(
			name, sizeof(name), "the.same.beginning.of.every.key.%u", i * 7919 % COUNT);
		gguf_writer_u32(w, name, i);
		gguf_writer_describe(w, name, strlen(name), 1, (uint64_t[]){32}, 4, 0);
	}
	gguf_writer_data(w, NULL, 1);
	g = open_writer(w);
	for (uint32_t i = 0; i < COUNT; i++) {
		snprintf(
			name, sizeof(name), "the.same.beginning.of.every.key.%u", i * 7919 % COUNT);
		ck_assert(!weir_gguf_u32(g, name, &value) && value == i);
		ck_assert_ptr_eq(weir_gguf_tensor(g, name), weir_gguf_tensor_at(g, i));
	}
	weir_gguf_close(g);
	gguf_writer_free(w);
}
END_TEST

/* An array of 2^34 bytes, a hole in the file: passed over, not read. */
START_TEST(long_array)
{
	const uint64_t count = UINT64_C(1) << 34;
	struct gguf_writer *w = gguf_writer_new(3);
	const char *path = in_folder("long.gguf");
	struct weir_gguf_array a;
	struct weir_gguf *g;
	size_t size;
	double began;
	int fd;

	gguf_writer_array(w, "long", WEIR_GGUF_U8, NULL, 0);
	gguf_writer_finish(w, &size);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert(write(fd, gguf_writer_finish(w, &size), size) == (ssize_t)size);
	ck_assert(pwrite(fd, &count, 8, (off_t)size - 8) == 8);
	if (sizeof(size_t) < 8 || ftruncate(fd, (off_t)(size + count))) {
		printf("skipped: no room for a file of %llu bytes\n", (unsigned long long)count);
		close(fd);
		gguf_writer_free(w);
		return;
	}
	began = weir_now();
	ck_assert_msg(!weir_gguf_open(path, &g), "%s", weir_error());
	ck_assert(!weir_gguf_array(g, "long", WEIR_GGUF_U8, &a));
	ck_assert(a.count == count && weir_gguf_number(&a, count - 1) == 0);
	ck_assert_msg(weir_now() - began < 1, "it was read");
	weir_gguf_close(g);
	close(fd);
	gguf_writer_free(w);
}
END_TEST

/* ---- real files ------------------------------------------------------------------------------ */

START_TEST(real_model)
{
	const char *path = suite_data("llm/stories260K-f32.gguf", "real_model");
	const struct weir_gguf_tensor *t;
	struct weir_gguf_array words;
	struct weir_gguf *g;
	uint32_t layers = 0;

	if (!path)
		return;
	ck_assert_msg(!weir_gguf_open(path, &g), "%s", weir_error());
	ck_assert(!weir_gguf_u32(g, "llama.block_count", &layers) && layers == 5);
	ck_assert(!weir_gguf_array(g, "tokenizer.ggml.tokens", WEIR_GGUF_STRING, &words));
	ck_assert_uint_eq(words.count, 512);
	t = weir_gguf_tensor(g, "token_embd.weight");
	ck_assert_ptr_nonnull(t);
	ck_assert(t->type == WEIR_TYPE_F32 && t->dim[0] == 64 && t->dim[1] == 512);
	sink = gguf_walk(g);
	weir_gguf_close(g);
}
END_TEST

START_TEST(real_listing)
{
	const char *path = suite_data("llm/stories260K-f32.gguf", "real_listing"), *type;
	struct weir_file_tensor t;
	char key[64], value[32];
	weir_file *f;

	if (!path)
		return;
	ck_assert_msg(!weir_file_open(&f, path), "%s", weir_error());
	ck_assert_str_eq(weir_file_format(f), "GGUF v3");
	ck_assert_uint_gt(weir_file_bytes(f), 1000000);
	for (size_t i = 0; i < weir_file_meta_count(f); i++) {
		ck_assert(!weir_file_meta(f, i, key, sizeof(key), &type, value, sizeof(value)));
		ck_assert(*key && strlen(value) < sizeof(value));
		if (!strcmp(key, "general.architecture")) {
			ck_assert_str_eq(type, "string");
			ck_assert_str_eq(value, "llama");
		}
	}
	ck_assert_int_eq(weir_file_meta(f, weir_file_meta_count(f), key, sizeof(key), &type, value,
				 sizeof(value)),
		-ERANGE);
	for (size_t i = 0; i < weir_file_tensor_count(f); i++)
		ck_assert(!weir_file_tensor(f, i, &t) && t.offset + t.bytes <= weir_file_bytes(f));
	weir_file_close(f);
}
END_TEST

START_TEST(real_vocabularies)
{
	static const char *const names[] = {"gpt-2", "llama-spm"};
	static const uint64_t counts[] = {50257, 32000};
	char name[80];
	struct weir_gguf_array words;
	struct weir_gguf *g;
	const char *path;

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(names); i++) {
		snprintf(name, sizeof(name), "tokenizers/ggml-vocab-%s.gguf", names[i]);
		path = suite_data(name, names[i]);
		if (!path)
			continue;
		ck_assert_msg(!weir_gguf_open(path, &g), "%s", weir_error());
		ck_assert(!weir_gguf_array(g, "tokenizer.ggml.tokens", WEIR_GGUF_STRING, &words));
		ck_assert_uint_eq(words.count, counts[i]);
		ck_assert_uint_eq(weir_gguf_tensor_count(g), 0);
		sink = gguf_walk(g);
		weir_gguf_close(g);
	}
}
END_TEST

static Suite *gguf_suite(void)
{
	Suite *suite = suite_create("gguf");
	TCase *valid = tcase_create("valid"), *files = tcase_create("files");
	TCase *real = tcase_create("real");

	tcase_add_loop_test(valid, typed_lookups, 2, 4); /* versions */
	tcase_add_test(valid, wrong_types);
	tcase_add_test(valid, strings_and_arrays);
	tcase_add_loop_test(valid, tensors, 2, 4);
	tcase_add_test(valid, types);
	tcase_add_test(valid, text);
	tcase_add_test(valid, many_names);
	tcase_add_checked_fixture(files, make_folder, remove_folder);
	tcase_add_test(files, odd_files);
	tcase_add_loop_test(files, shards, 0, 2); /* without and with keys that say so */
	tcase_add_test(files, broken_shards);
	tcase_add_test(files, long_array);
	tcase_add_test(real, real_model);
	tcase_add_test(real, real_listing);
	tcase_add_test(real, real_vocabularies);
	suite_add_tcase(suite, valid);
	suite_add_tcase(suite, files);
	suite_add_tcase(suite, real);
	return suite;
}

int main(void)
{
	return suite_run(gguf_suite());
}
