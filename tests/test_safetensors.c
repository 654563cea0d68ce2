/* SPDX-License-Identifier: MIT */
/* safetensors: what is read, from one file and from shards, and what is refused with which sentence. */
#include <fnmatch.h>

#include "folder_writer.h"
#include "suite.h"
#include "weir/weir.h"

/* ---- files that are read --------------------------------------------------------------------- */

static void add_sample(struct folder_writer *w)
{
	static const float floats[6] = {1, 2, 3, 4, 5, 6};

	folder_writer_add(w, "z.bytes", WEIR_DTYPE_U8, 1, (uint64_t[]){3}, "abc");
	folder_writer_add(w, "a.matrix", WEIR_DTYPE_F32, 2, (uint64_t[]){2, 3}, floats);
	folder_writer_add(w, "b.none", WEIR_DTYPE_I32, 2, (uint64_t[]){0, 7}, NULL);
	folder_writer_add(w, "c.scalar", WEIR_DTYPE_F16, 0, NULL, "\x00\x3c");
}

static void check_sample(const struct weir_safetensors *st)
{
	const struct weir_safetensor *t;
	float third;

	ck_assert_uint_eq(weir_safetensors_count(st), 4);
	ck_assert_str_eq(weir_safetensors_at(st, 0)->name, "a.matrix");
	ck_assert_ptr_null(weir_safetensors_at(st, 4));
	ck_assert_ptr_null(weir_safetensors_find(st, "__metadata__"));
	t = weir_safetensors_find(st, "a.matrix");
	ck_assert(t && t->type == WEIR_DTYPE_F32 && t->n_dims == 2 && t->dim[0] == 2 && t->dim[1] == 3 &&
		  t->dim[2] == 1 && t->count == 6 && t->size == 24);
	memcpy(&third, (const char *)t->data + 8, 4);
	ck_assert(third == 3);
	t = weir_safetensors_find(st, "b.none");
	ck_assert(t && !t->count && !t->size);
	t = weir_safetensors_find(st, "c.scalar");
	ck_assert(t && !t->n_dims && t->count == 1 && !memcmp(t->data, "\x00\x3c", 2));
	t = weir_safetensors_find(st, "z.bytes");
	ck_assert(t && !memcmp(t->data, "abc", 3));
}

/* Floats behind three bytes, and data at any offset. */
START_TEST(one_file)
{
	struct folder_writer w = {0};
	struct weir_safetensors *st;

	add_sample(&w);
	for (unsigned offset = 0; offset < 8; offset++) {
		size_t size;
		uint8_t *file = folder_writer_safetensors(&w, 0, w.n, offset, &size);

		ck_assert_msg(!weir_safetensors_open_memory(file, size, "x.safetensors", &st), "%s", weir_error());
		check_sample(st);
		weir_safetensors_close(st);
		free(file);
	}
	folder_writer_free(&w);
}
END_TEST

START_TEST(shards)
{
	char *folder = folder_make();
	struct folder_writer w = {0};
	struct weir_safetensors *st;

	add_sample(&w);
	for (unsigned n = 4; n; n--) { /* the single file last: it goes before an index */
		folder_put_tensors(folder, &w, n);
		ck_assert_msg(!weir_safetensors_open(folder, &st), "%s", weir_error());
		ck_assert_uint_eq(weir_safetensors_shards(st), n);
		check_sample(st);
		weir_safetensors_drop(st, weir_safetensors_find(st, "a.matrix"));
		check_sample(st);
		weir_safetensors_close(st);
	}
	folder_writer_free(&w);
	folder_remove(folder);
	free(folder);
}
END_TEST

/* ---- headers that are refused ---------------------------------------------------------------- */

#define T(name, dtype, shape, offsets) \
	"\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define LONG_NAME \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
	const char *header;
	size_t data; /* bytes behind it */
	const char *sentence; /* a pattern, behind the file's name */
} refused[] = {
	{"", 0, "line 1: the text ends where a value is due"},
	{"[]", 0, "it is an array, not an object"},
	{"{\"a\":1}", 0, "a is an integer, not an object"},
	{"{\"a\":{}}", 0, "a.dtype is missing"},
	{"{" T("a", "F33", "[1]", "[0,4]") "}", 4, "a.dtype is F33, which Weir does not know"},
	{"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "a.shape is missing"},
	{"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "a.data_offsets is missing"},
	{"{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, "a.shape has 9 dimensions, more than 8"},
	{"{" T("a", "F32", "[-1]", "[0,4]") "}", 4, "a.shape\\[0] is negative"},
	{"{" T("a", "F32", "[1.5]", "[0,4]") "}", 4, "a.shape\\[0] is a number with a fraction, not an integer"},
	{"{" T("a", "F32", "[4294967296,4294967296]", "[0,0]") "}", 0, "a.shape has a product that 64 bits cannot count"},
	{"{" T("a", "F32", "[4611686018427387904]", "[0,0]") "}", 0, "a.shape has more bytes than memory can hold"},
	{"{" T("a", "F32", "[1]", "[0]") "}", 4, "a.data_offsets has 1 values, not 2"},
	{"{" T("a", "F32", "[1]", "[4,0]") "}", 4, "a.data_offsets is 4 to 0, but its shape has 4 bytes"},
	{"{" T("a", "F32", "[1]", "[0,5]") "}", 5, "a.data_offsets is 0 to 5, but its shape has 4 bytes"},
	{"{" T("a", "F32", "[1]", "[0,4]") "}", 3, "a.data_offsets ends at byte 4, the file has 3 of data"},
	{"{" T("a", "F32", "[1]", "[18446744073709551612,18446744073709551616]") "}", 4,
		"a.data_offsets\\[1] is a number with a fraction, not an integer"},
	{"{" T("a", "F32", "[1]", "[18446744073709551611,18446744073709551615]") "}", 4,
		"a.data_offsets ends at byte 18446744073709551615, the file has 4 of data"},
	{"{" T("a", "F32", "[2]", "[0,8]") "," T("b", "U8", "[1]", "[7,8]") "}", 8,
		"tensors a and b overlap at byte *"},
	{"{" T("a", "F32", "[1]", "[0,4]") "," T("a", "F32", "[1]", "[4,8]") "}", 8, "line 1: the key a is there twice"},
	{"{" T("", "F32", "[1]", "[0,4]") "}", 4, "* is no name of 1 to 255 bytes without control characters"},
	{"{" T("\\u001b", "F32", "[1]", "[0,4]") "}", 4, "\\? is no name of 1 to 255 bytes without control characters"},
	{"{" T(LONG_NAME, "F32", "[1]", "[0,4]") "}", 4,
		"* is no name of 1 to 255 bytes without control characters"},
};

static void check_refused(const uint8_t *file, size_t size, const char *sentence)
{
	struct weir_safetensors *st;
	char pattern[512];

	ck_assert_int_lt(weir_safetensors_open_memory(file, size, "x.safetensors", &st), 0);
	snprintf(pattern, sizeof(pattern), "cannot read ./x.safetensors: %s", sentence);
	ck_assert_msg(!fnmatch(pattern, weir_error(), 0), "'%s' is not '%s'", weir_error(), pattern);
	ck_assert_ptr_null(st);
}

START_TEST(refuse)
{
	const uint64_t length = strlen(refused[_i].header);
	const size_t size = 8 + length + refused[_i].data;
	uint8_t *file = calloc(1, size);

	ck_assert_ptr_nonnull(file);
	memcpy(file, &length, 8);
	memcpy(file + 8, refused[_i].header, length);
	check_refused(file, size, refused[_i].sentence);
	free(file);
}
END_TEST

START_TEST(lengths)
{
	static const struct {
		uint64_t length;
		size_t size;
		const char *sentence;
	} cases[] = {
		{2, 0, "it has 0 bytes, too few for a safetensors file"},
		{2, 7, "it has 7 bytes, too few for a safetensors file"},
		{3, 10, "its header ends at byte 11, the file has 10"},
		{UINT64_MAX, 10, "its header has 18446744073709551615 bytes by its first 8, more than 100000000"},
		{100000001, 10, "its header has 100000001 bytes by its first 8, more than 100000000"},
	};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(cases); i++) {
		uint8_t *file = malloc(cases[i].size + 1);
		uint8_t all[10] = {0, 0, 0, 0, 0, 0, 0, 0, '{', '}'};

		ck_assert_ptr_nonnull(file);
		memcpy(all, &cases[i].length, 8);
		memcpy(file, all, cases[i].size);
		check_refused(file, cases[i].size, cases[i].sentence);
		free(file);
	}
}
END_TEST

/* ---- folders that are refused ---------------------------------------------------------------- */

static void folder_refused(const char *folder, int want, const char *sentence)
{
	struct weir_safetensors *st;
	char pattern[512];

	ck_assert_int_eq(weir_safetensors_open(folder, &st), want);
	snprintf(pattern, sizeof(pattern), "cannot read %s%s", folder, sentence);
	ck_assert_msg(!fnmatch(pattern, weir_error(), 0), "'%s' is not '%s'", weir_error(), pattern);
}

#define INDEX "/model.safetensors.index.json: "

START_TEST(indices)
{
	static const struct {
		const char *index, *sentence;
		int err;
	} cases[] = {
		{"{}", INDEX "weight_map is missing", -ENOENT},
		{"{\"weight_map\":[]}", INDEX "weight_map is an array, not an object", -EINVAL},
		{"{\"weight_map\":{\"a\":1}}", INDEX "weight_map.a is an integer, not a string", -EINVAL},
		{"{\"weight_map\":{\"a\":\"../s1\"}}", INDEX "weight_map.a is not the name of a file beside it", -EINVAL},
		{"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", INDEX "weight_map.a is not the name of a file beside it",
			-EINVAL},
		{"{\"weight_map\":{\"a\":\"..\"}}", INDEX "weight_map.a is not the name of a file beside it", -EINVAL},
		{"{\"weight_map\":{\"a\":\"\"}}", INDEX "weight_map.a is not the name of a file beside it", -EINVAL},
		{"{\"weight_map\":{\"a\":\"s3\"}}", "/s3: No such file or directory", -ENOENT},
		{"{\"weight_map\":{\"a\":\"s1\",\"c\":\"s1\"}}",
			INDEX "weight_map.c is said to be in s1, which lacks it", -EINVAL},
		{"{\"weight_map\":{\"a\":\"s2\",\"b\":\"s1\"}}",
			INDEX "weight_map.a is said to be in s2, which lacks it", -EINVAL},
		{"{\"weight_map\":{\"a\":\"s1\",\"x\":\"s3\"}}", "/s3: No such file or directory", -ENOENT},
		{"{\"weight_map\":{\"a\":\"s1\",\"b\":\"s4\"}}", "/s4: tensor a is there, and in */s1 too", -EINVAL},
	};
	char *folder = folder_make();
	struct folder_writer w = {0};
	size_t size;
	uint8_t *file;

	folder_writer_add(&w, "a", WEIR_DTYPE_U8, 1, (uint64_t[]){1}, "a");
	folder_writer_add(&w, "b", WEIR_DTYPE_U8, 1, (uint64_t[]){1}, "b");
	for (int i = 0; i < 3; i++) { /* s1 has a, s2 has b, s4 has both */
		file = folder_writer_safetensors(&w, i == 1, i == 2 ? 2 : 1, 0, &size);
		folder_put(folder, (const char *[]){"s1", "s2", "s4"}[i], file, size);
		free(file);
	}
	folder_refused(folder, -ENOENT, ": it has neither model.safetensors nor model.safetensors.index.json");
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(cases); i++) {
		folder_put(folder, "model.safetensors.index.json", cases[i].index, strlen(cases[i].index));
		folder_refused(folder, cases[i].err, cases[i].sentence);
	}
	folder_writer_free(&w);
	folder_remove(folder);
	free(folder);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("safetensors");
	TCase *tc = tcase_create("safetensors");

	tcase_add_test(tc, one_file);
	tcase_add_test(tc, shards);
	tcase_add_loop_test(tc, refuse, 0, (int)WEIR_ARRAY_SIZE(refused));
	tcase_add_test(tc, lengths);
	tcase_add_test(tc, indices);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
